"""What would settle a question that an analysis leaves open."""

from __future__ import annotations

_ADVICE: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("(item", "(__bool__", "(__float__", "(__int__", "(__index__", "(tolist", "a Python number or a shape"),
        "write the choice with torch.where or keep the number in a tensor; or analyse the parts of the module before "
        "and after this line on their own",
    ),
    (
        ("out of PyTorch's sight", "another library", "out of sight", "was not seen"),
        "do the same with operations of PyTorch; or analyse the parts of the module before and after this line on "
        "their own",
    ),
    (("training mode",), "call module.eval(), which makes it use the stored statistics"),
    (
        ("draws random numbers",),
        "call module.eval() if this is dropout; otherwise pass the random numbers in as an input",
    ),
    (
        ("not the same program", "does not run the same program", "branch"),
        "write the choice with torch.where; or analyse each branch as a module of its own",
    ),
    (
        ("changes itself", "remembers", "outlive the call"),
        "call module.eval() if it keeps statistics; run it once before if it fills a cache; otherwise analyse a part "
        "of it that keeps nothing between calls",
    ),
    (
        ("no function of all real numbers",),
        "analyse the part of the module before the operation that gives NaN, as a root or a logarithm of a negative "
        "number does",
    ),
    (
        ("reads the clock", "uses chance", "reads or writes files", "moves on with every call"),
        "analyse the module without it, or the parts that do no such thing; what it needs can be passed in as an input",
    ),
    (
        ("another output when its operations",),
        "give an example that lies in memory as usual (example.contiguous()); and look for code that asks how its "
        "input lies, or who watches",
    ),
    (
        ("stands for memory that nobody",),
        "replace the number that is not finite; where it is memory that nobody has written, make it with torch.zeros",
    ),
    (("NaN", "infinity", "s nan", "s inf", "s -inf", "not finite"), "replace the number that is not finite"),
    (
        ("rounding drowns",),
        "analyse the module in float64 (module.double()), where little is rounded",
    ),
    (
        ("no formula", "no rule of the table", "no canonical form"),
        "analyse the parts of the module before and after this operation on their own, or register a rule for it",
    ),
    (
        ("does not run on a batch", "the number of rows decides", "for which numbers of rows"),
        "let forward do the same for any number of rows; of a single row x as the example, pass x[None]",
    ),
    (
        ("not real numbers", "not real ones", "numbers is read as", "its size or its type"),
        "analyse the part of the module whose inputs and outputs are floating tensors",
    ),
    (("holds a tensor", "the module returns a"), "wrap the module in one that returns tensors, alone or in a tuple"),
    (
        ("result is not used",),
        "remove the operation, or analyse the module without it",
    ),
)
_SMALLER = "analyse the parts of the module on their own, as in whyactivate.analyze(module.part, its_input)"
_NEITHER = (
    "show that these operations cancel, or find an input at which they do not: analyse the smallest part of the "
    "module that holds them, on few inputs, where both are tried harder"
)


def advise(reason: str, refused: bool = True) -> str:
    """What to do about a reason for which a module is undecided; one sentence without a full stop.

    Args:
        reason: what stands in the way, in the words of the analysis.
        refused: False where nothing stands in the way but that neither a proof nor a counterexample was found.
    """
    if not refused:
        return _NEITHER
    return next((text for words, text in _ADVICE if any(word in reason for word in words)), _SMALLER)
