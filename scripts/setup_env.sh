# shellcheck shell=bash
# Sourced by launch.sh and test.sh: leaves in SOFTCPT_PYTHON an interpreter that has all of requirements.txt. Prints nothing if there
# was one.
#
#   1. $PYTHON, or the active virtual or conda environment, if it satisfies the requirements;
#   2. .venv in the repository, if it was set up for these requirements, this Python and this place;
#   3. the python3 on PATH, if it satisfies them;
#   4. otherwise .venv is made, or repaired, with $PYTHON or the first Python >= 3.10 on PATH.
#
# launch.sh sets the array setup_for to the arguments of launch.py before sourcing this. They are checked first, so that a misspelt
# dataset is reported before anything is installed; open_clip and Gradio are installed too if they are needed. Others may call need_openclip.
# Works in bash 3.2, which macOS has, and with spaces in paths. pip's own settings (index, proxy, cache) are left alone.

softcpt_root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"

_say() { printf '%s\n' "$*" >&2; }

# The full path of the interpreter $1, if it starts and is recent enough.
_recent_python() {
    "$1" -c 'import sys
if sys.version_info < (3, 10): sys.exit(1)
print(sys.executable)' 2>/dev/null
}

# Prints the interpreter that makes .venv, or one line on stderr that says why there is none.
_find_python() {
    local name
    if [ -n "${PYTHON:-}" ]; then
        _recent_python "$PYTHON" && return 0
        _say "PYTHON=$PYTHON is not Python 3.10 or newer; point it to one, or unset it."
        return 1
    fi
    for name in python3 python3.13 python3.12 python3.11 python3.10 python; do
        if command -v "$name" >/dev/null 2>&1; then _recent_python "$name" && return 0; fi
    done
    if command -v python3 >/dev/null 2>&1; then
        _say "Python 3.10 or newer is needed, and python3 is $(python3 -c 'import platform; print(platform.python_version())' 2>&1 |
            tail -n 1); install a newer one, or set PYTHON to its path."
    else
        _say "Python 3.10 or newer is needed, and there is no python3 on PATH; install one, or set PYTHON to its path."
    fi
    return 1
}

_check_env() { # interpreter question file...
    local python="$1" question="$2"
    shift 2
    "$python" "$softcpt_root/launcher/environment.py" "$question" "$softcpt_root" "$@" 2>/dev/null
}

_python_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

# True if .venv was set up for these files as they are now, and for the Python that the user asks for, if any.
_venv_ready() { # file...
    [ -x "$softcpt_root/.venv/bin/python" ] || return 1
    _check_env "$softcpt_root/.venv/bin/python" ready "$@" || return 1
    [ -z "${PYTHON:-}" ] || [ "$(_python_version "$PYTHON")" = "$(_python_version "$softcpt_root/.venv/bin/python")" ]
}

# True if process $1 runs. A killed process whose parent has not noticed stays in the list of processes as a zombie.
_alive() {
    kill -0 "$1" 2>/dev/null || [ -d "/proc/$1" ] || return 1
    ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

# True if the lock $1 was left by a script that was killed. $2 counts the seconds without an owner written in it.
_lock_is_stale() {
    local host="" pid=""
    [ -z "$(find "$1" -maxdepth 0 -mmin +60 2>/dev/null)" ] || return 0
    read -r pid host 2>/dev/null <"$1/owner" || [ -n "$pid" ] || [ "$2" -lt 10 ] || return 0
    # A process of another machine (or container) that shares this folder cannot be checked.
    [ -n "$pid" ] && [ "$host" = "$(uname -n)" ] && ! _alive "$pid"
}

# Creates the lock $1 and signs it; fails if another script has it.
_sign_lock() {
    # $$ would be the calling script; its subshell, which holds the lock, is the parent of this sh.
    mkdir "$1" 2>/dev/null && printf '%s %s\n' "$(exec sh -c 'echo "$PPID"')" "$(uname -n)" 2>/dev/null >"$1/owner"
}

# Removes the stale lock $1 of owner $2. Renaming is atomic, but another script may have been faster and hold a new lock already:
# then the owner differs, and it is put back.
_break_lock() {
    mv "$1" "$1.$$" 2>/dev/null || return 0
    if [ "$(cat "$1.$$/owner" 2>/dev/null)" = "$2" ]; then rm -rf "$1.$$"; else mv "$1.$$" "$1"; fi
}

# Takes the lock: one script at a time sets up .venv, the others wait for it.
_lock() {
    local lock="$softcpt_root/.venv.lock" waiting="" owner="" failed=0 nameless=0
    until _sign_lock "$lock"; do
        if [ ! -d "$lock" ]; then
            failed=$((failed + 1))
            if [ "$failed" -ge 5 ]; then
                _say "Cannot write in $softcpt_root, where .venv belongs: $(mkdir "$lock" 2>&1)."
                return 1
            fi
            continue
        fi
        owner="$(cat "$lock/owner" 2>/dev/null)" && nameless=0 || nameless=$((nameless + 1))
        if _lock_is_stale "$lock" "$nameless"; then
            _break_lock "$lock" "$owner"
            continue
        fi
        if [ -z "$waiting" ]; then
            _say "Waiting for another script that is setting up .venv (if there is none, delete $lock) ..."
            waiting=yes
        fi
        sleep 1
    done
}

# Makes or repairs .venv; a subshell, so that its traps and its working folder are its own.
_install() ( # interpreter reason file...
    base="$1" reason="$2"
    shift 2
    venv="$softcpt_root/.venv" log="$softcpt_root/.venv/setup.log"
    cd "$softcpt_root" || exit 1
    _lock || exit 1
    trap 'rm -rf "$softcpt_root/.venv.lock"' EXIT
    trap '_say "Interrupted; the next call sets .venv up again."; exit 130' INT
    trap 'exit 143' TERM HUP
    if _venv_ready "$@"; then exit 0; fi # while this one waited for the lock

    if ! "$base" -c 'import venv, ensurepip' >/dev/null 2>&1; then
        _say "$base has no venv module; install it (on Debian and Ubuntu: apt install python3-venv), or set PYTHON to another Python."
        exit 1
    fi
    if [ -f "$venv/.stamp-requirements.txt" ] && [ ! -e "$venv/.installing" ]; then
        _say "Bringing .venv up to date for ${*}$reason (log: .venv/setup.log) ..."
    else
        _say "Setting up .venv$reason (once; takes a minute or two, PyTorch is large; log: .venv/setup.log) ..."
    fi
    # The remains of an interrupted installation cannot be trusted, nor can another Python's packages.
    if [ -e "$venv/.installing" ] || [ "$(_python_version "$venv/bin/python")" != "$(_python_version "$base")" ]; then
        rm -rf "$venv" || exit 1
    fi
    mkdir -p "$venv" && : >"$venv/.installing" || exit 1
    arguments=()
    for file in "$@"; do arguments+=(-r "$file"); done
    # PIP_USER: someone's pip.conf may set it, and it does not work inside a virtual environment.
    if ! { "$base" -m venv "$venv" &&
        PIP_USER=0 "$venv/bin/python" -m pip install --disable-pip-version-check --no-input "${arguments[@]}" &&
        _check_env "$venv/bin/python" stamp "$@"; } >"$log" 2>&1 </dev/null; then
        rm -f "$venv/.installing"
        _say "Setting up .venv failed; its log, $log, ends with:"
        tail -n 6 "$log" | sed 's/^/    /' >&2
        exit 1
    fi
    rm -f "$venv/.installing"
)

# Leaves in SOFTCPT_PYTHON an interpreter that meets all of these requirement files.
setup_env() { # file...
    local active lacks="" reason="" base=""
    export SOFTCPT_PYTHON=""
    for active in "${PYTHON:-}" "${VIRTUAL_ENV:+$VIRTUAL_ENV/bin/python}" "${CONDA_PREFIX:+$CONDA_PREFIX/bin/python}"; do
        # .venv itself is judged by its stamps, active or not: they notice a changed file and a moved clone.
        case "$active" in "" | "$softcpt_root/.venv/bin/python") continue ;; esac
        if active="$(_recent_python "$active")"; then
            if lacks="$(_check_env "$active" lacks "$@")"; then
                SOFTCPT_PYTHON="$active"
                return 0
            fi
            reason=", as $active lacks ${lacks:-something}"
        fi
    done
    if ! _venv_ready "$@"; then
        base="$(_find_python)" || return 1
        if _check_env "$base" lacks "$@" >/dev/null; then
            SOFTCPT_PYTHON="$base"
            return 0
        fi
        _install "$base" "$reason" "$@" || return $?
    fi
    SOFTCPT_PYTHON="$softcpt_root/.venv/bin/python"
}

# For runs whose tower is an OpenCLIP model.
need_openclip() { setup_env requirements.txt requirements-openclip.txt; }

# Checks the arguments of launch.py with any Python, then sets up what they need.
_setup_for() { # arguments of launch.py
    local python status=0
    python="$softcpt_root/.venv/bin/python"
    if ! "$python" -c '' 2>/dev/null; then python="$(_find_python)" || return 1; fi
    "$python" "$softcpt_root/launch.py" --check "$@" || status=$?
    case "$status" in
        0) setup_env requirements.txt ;;
        10) need_openclip ;;
        11) exit 0 ;; # --help, which it has answered
        12) setup_env requirements.txt requirements-page.txt ;;
        13) setup_env requirements.txt requirements-openclip.txt requirements-page.txt ;;
        14) setup_env requirements.txt requirements-export.txt ;;
        15) setup_env requirements.txt requirements-openclip.txt requirements-export.txt ;;
        *) return "$status" ;;
    esac
}

if [ -n "${setup_for+set}" ]; then
    _setup_for "${setup_for[@]}" || return $?
else
    setup_env requirements.txt || return $?
fi
