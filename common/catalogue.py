"""The methods as the launcher knows them: what a command is called, which trainer it runs and what it is about.

Tables alone, so that a misspelt name is told before anything is installed.
"""

# Method as its run folders are called: trainer, the config key that makes it this method, label in a comparison.
METHODS = {
    "ZeroshotCLIP": ("ZeroshotCLIP", [], "Zero-shot CLIP"),
    "ZeroshotCLIP-ensemble": ("ZeroshotCLIP", ["TRAINER.ZEROSHOT.TEMPLATES", "imagenet"], "Zero-shot CLIP (ensemble)"),
    "LP-CLIP": ("LinearProbe", [], "LP-CLIP"),
    "ProtoNet": ("ProtoNet", [], "ProtoNet"),
    "Tip-Adapter": ("TipAdapter", ["TRAINER.TIPADAPTER.FINETUNE", "False"], "Tip-Adapter"),
    "Tip-Adapter-F": ("TipAdapter", ["TRAINER.TIPADAPTER.FINETUNE", "True"], "Tip-Adapter-F"),
    "CoOp-CA": ("CoOp", ["TRAINER.COOP.CONTEXT", "task"], "CoOp-CA (per task)"),
    "CoOp-CS": ("CoOp", ["TRAINER.COOP.CONTEXT", "class"], "CoOp-CS (per class)"),
    "CoOp-MT": ("CoOp", ["TRAINER.COOP.CONTEXT", "shared"], "CoOp-MT (shared)"),
    "CoCoOp": ("CoCoOp", [], "CoCoOp"),
    "ProGrad": ("ProGrad", [], "ProGrad"),
    "KgCoOp": ("KgCoOp", [], "KgCoOp"),
    "PLOT": ("PLOT", [], "PLOT"),
    "MaPLe": ("MaPLe", [], "MaPLe"),
    "PromptSRC": ("PromptSRC", [], "PromptSRC"),
    "CLIP-LoRA": ("CLIPLoRA", [], "CLIP-LoRA"),
    "MVLPT": ("MVLPT", [], "MVLPT"),
    "SoftCPT-NATA": ("SoftCPT", ["TRAINER.SOFTCPT.VARIANT", "NATA"], "SoftCPT-NATA"),
    "SoftCPT-NATS": ("SoftCPT", ["TRAINER.SOFTCPT.VARIANT", "NATS"], "SoftCPT-NATS"),
    "SoftCPT-CATA": ("SoftCPT", ["TRAINER.SOFTCPT.VARIANT", "CATA"], "SoftCPT-CATA"),
    "SoftCPT-CATS": ("SoftCPT", ["TRAINER.SOFTCPT.VARIANT", "CATS"], "SoftCPT-CATS"),
    "SoftCPT-CSTA": ("SoftCPT", ["TRAINER.SOFTCPT.VARIANT", "CSTA"], "SoftCPT-CSTA"),
    "SoftCPT-CSTS": ("SoftCPT", ["TRAINER.SOFTCPT.VARIANT", "CSTS"], "SoftCPT-CSTS"),
    "SoftCPT-STAR": ("SoftCPT", ["TRAINER.SOFTCPT.VARIANT", "STAR"], "SoftCPT*"),
}
# What a method's parameters are tied to, and how, where they are tied to anything: it has none for other classes or
# other tasks. The trainers say the same (PromptTrainer.tied_to), but cannot be asked before PyTorch is there.
TIED_TO = {
    "LP-CLIP": ("classes", "weights for every class"),
    "ProtoNet": ("classes", "a mean feature for every class"),
    "Tip-Adapter": ("classes", "a cache of every class's images"),
    "Tip-Adapter-F": ("classes", "a cache of every class's images"),
    "CoOp-CA": ("tasks", "a context for every task"),
    "CoOp-CS": ("classes", "a context for every class"),
    "KgCoOp": ("tasks", "a context for every task"),
    "ProGrad": ("tasks", "a context for every task"),
    "SoftCPT-NATS": ("tasks", "a task context for every task"),
    "SoftCPT-CATS": ("tasks", "a task context for every task"),
    "SoftCPT-CSTA": ("classes", "a class context for every class"),
    "SoftCPT-CSTS": ("classes", "a class context for every class"),
    "CoCoOp": ("tasks", "a context and a meta-net for every task"),
    "PLOT": ("tasks", "contexts for every task"),
    "CLIP-LoRA": ("tasks", "updates of the towers for every task"),
    "MVLPT": ("tasks", "a context for every task"),
    "MaPLe": ("tasks", "prompts of both towers for every task"),
    "PromptSRC": ("tasks", "prompts of both towers for every task"),
}
# Scripts of methods that have one form only.
SINGLE = {
    "cocoop": "CoCoOp",
    "kgcoop": "KgCoOp",
    "linear_probe": "LP-CLIP",
    "maple": "MaPLe",
    "plot": "PLOT",
    "prograd": "ProGrad",
    "promptsrc": "PromptSRC",
    "protonet": "ProtoNet",
    "clip_lora": "CLIP-LoRA",
    "mvlpt": "MVLPT",
}
COMPARED = ["ZeroshotCLIP", "CoOp-CA", "CoOp-MT", "SoftCPT-NATA"]
CONTEXTS = {"task": "CoOp-CA", "class": "CoOp-CS", "shared": "CoOp-MT"}
VARIANTS = {v: f"SoftCPT-{v}" for v in ("NATA", "NATS", "CATA", "CATS", "CSTA", "CSTS", "STAR")}
TEMPLATES = {"task": "ZeroshotCLIP", "imagenet": "ZeroshotCLIP-ensemble"}
TIP_ADAPTERS = {"no": "Tip-Adapter", "yes": "Tip-Adapter-F"}

ABOUT = {
    "softcpt": ("scripts/softcpt/main.sh", "Trains and tests SoftCPT, once per seed, and prints accuracy by task."),
    "coop": ("scripts/coop/main.sh", "Trains and tests CoOp, once per seed, and prints accuracy by task."),
    "kgcoop": ("scripts/kgcoop/main.sh", "Trains and tests KgCoOp, once per seed, and prints accuracy by task."),
    "prograd": ("scripts/prograd/main.sh", "Trains and tests ProGrad, once per seed, and prints accuracy by task."),
    "zsclip": ("scripts/zsclip/main.sh", "Tests zero-shot CLIP, which learns nothing, and prints accuracy by task."),
    "cocoop": ("scripts/cocoop/main.sh", "Trains and tests CoCoOp, once per seed, and prints accuracy by task."),
    "plot": ("scripts/plot/main.sh", "Trains and tests PLOT, once per seed, and prints accuracy by task."),
    "maple": ("scripts/maple/main.sh", "Trains and tests MaPLe, once per seed, and prints accuracy by task."),
    "promptsrc": ("scripts/promptsrc/main.sh", "Trains and tests PromptSRC, once per seed; prints accuracy by task."),
    "linear_probe": ("scripts/linear_probe/main.sh", "Fits LP-CLIP, a linear probe; prints accuracy by task."),
    "protonet": ("scripts/protonet/main.sh", "Fits ProtoNet, class means of features; prints accuracy by task."),
    "tip_adapter": ("scripts/tip_adapter/main.sh", "Fits Tip-Adapter or Tip-Adapter-F; prints accuracy by task."),
    "clip_lora": ("scripts/clip_lora/main.sh", "Trains and tests CLIP-LoRA, once per seed; prints accuracy by task."),
    "mvlpt": ("scripts/mvlpt/main.sh", "Trains and tests MVLPT, once per seed, and prints accuracy by task."),
    "compare": ("scripts/compare.sh", "Sets zero-shot CLIP, CoOp per task and shared, SoftCPT or others in one table."),
}
EXAMPLES = {
    "softcpt": [
        "garden8 4",
        "garden8 4 --variant NATS --seeds 1,2",
        "plants7 4 --data ~/data",
        "garden8 4 -- OPTIM.MAX_EPOCH 10 OPTIM.LR 0.005",
    ],
    "coop": ["garden8 4", "garden8 4 --context shared --seeds 1,2", "garden8 4 -- OPTIM.MAX_EPOCH 10"],
    "kgcoop": ["garden8 4", "garden8 4 -- TRAINER.KGCOOP.W 4.0"],
    "prograd": ["garden8 4", "garden8 4 -- TRAINER.PROGRAD.LAMBDA 0.8"],
    "cocoop": ["garden8 4", "garden8 4 --seeds 1", "garden8 4 -- DATALOADER.TRAIN_X.BATCH_SIZE 4"],
    "plot": ["garden8 4", "garden8 4 --seeds 1", "garden8 4 -- TRAINER.PLOT.N 2"],
    "maple": ["garden8 4", "garden8 4 --seeds 1", "dtd 16 --cfg vit_b16_c2_ep5_batch4_2ctx --data ~/data"],
    "promptsrc": ["garden8 4", "garden8 4 --seeds 1", "dtd 16 --cfg vit_b16_c2_ep20_batch4_4+4ctx --data ~/data"],
    "zsclip": ["garden8", "garden8 --templates imagenet", "plants7 --data ~/data"],
    "linear_probe": ["garden8 4", "plants7 4 --data ~/data"],
    "protonet": ["garden8 4", "garden8 4 -- TRAINER.PROTONET.DISTANCE cosine"],
    "tip_adapter": ["garden8 4", "garden8 4 --finetune yes --seeds 1,2"],
    "clip_lora": ["garden8 4", "garden8 4 --seeds 1", "garden8 4 -- TRAINER.CLIPLORA.ENCODER text"],
    "mvlpt": ["garden8 4", "garden8 4 --seeds 1,2", "garden8 4 -- TRAINER.MVLPT.SHARED_SHARE 0.2"],
    "compare": [
        "garden8 4",
        "garden8 1,2,4,8,16",
        "plants7 4 --data ~/data",
        "garden8 4 --methods all",
        "garden8 1,4 --methods PLOT,CoOp-CA --against SoftCPT-NATA",
    ],
}
