// A photograph that is pasted, or dropped beside its place, is taken as if it had been chosen.
() => {
    const take = (event, list) => {
        const file = [...(list?.files ?? [])].find(one => one.type.startsWith("image/"));
        const input = document.querySelector("#photo input[type=file]");
        if (!file || !input) return;
        event.preventDefault();
        const carried = new DataTransfer();
        carried.items.add(file);
        input.files = carried.files;
        input.dispatchEvent(new Event("change", {bubbles: true}));
    };
    document.addEventListener("paste", event => take(event, event.clipboardData));
    document.addEventListener("dragover", event => event.preventDefault());  // else the browser would open the file
    document.addEventListener("drop", event => {
        if (event.target.closest("#photo")) return;
        event.preventDefault();
        take(event, event.dataTransfer);
    });
}
