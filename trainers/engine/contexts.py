"""What prompt methods learn, by the name that methods import; see `prompting.contexts`."""

from prompting.contexts import ClassContextTable as ClassContextTable
from prompting.contexts import ContextTable as ContextTable
from prompting.contexts import PromptLearner as PromptLearner
from prompting.contexts import word_vectors as word_vectors
from prompting.models import module_list as module_list
