"""The article's statements, one by one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from whyactivate.claims import layers, learning, reach, recipe, rectifying, squashing, vanishing, zeros
from whyactivate.claims.claim import Claim, Verdict

_T, _I, _W = Verdict.TRUE, Verdict.IMPRECISE, Verdict.WRONG
_RUN = "the experiment here"

_TABLE = (
    Claim(
        1, "training a network means finding its weights.", _I,
        "It means finding weights and biases, for an architecture and an objective that somebody chose. The article's "
        "network "
        "has 621 parameters, 41 of them biases.",
        "counted on SimpleModel", experiment=layers.finding_weights,
    ),
    Claim(
        2, "a bigger network does better.", _I,
        "It depends on the data and on the optimisation: more units fit the training set better and may predict worse.",
        f"{_RUN}: width against held-out error on two data sets", experiment=learning.bigger_is_better,
    ),
    Claim(
        3, "each layer extracts features of its own, each one unique.", _I,
        "Nothing guarantees that; how redundant units are depends on the data and the width. Layers can hold near "
        "copies of a unit, and other seeds learn some of the same again.",
        f"{_RUN}: correlations of hidden units, within a network and across seeds", experiment=learning.unique_features,
    ),
    Claim(
        4, "activations decide which data matters.", _I,
        "An activation is one fixed function, applied to each number by itself. What matters is learned, and it is "
        "learned in W and b.",
        f"{_RUN}: what training changes and what not", experiment=learning.decides_what_matters,
    ),
    Claim(
        5, "activations help to prevent vanishing gradients.", _W,
        "Not in general: the gradient is a product of one Wᵀ·diag(φ′) per layer, and |φ′| ≤ 1 for all the article's "
        "activations (σ′ ≤ 1/4). With "
        "PyTorch's initial weights, the gradient vanishes least without any activation. Initial weights and activation "
        "decide together.",
        "Glorot & Bengio 2010; He et al. 2015; the gradients lesson", experiment=vanishing.prevents_vanishing,
    ),
    Claim(
        6, "a vanishing gradient is a signal too weak to move the weights.", _T,
        "The gradient of the first layers can be so small beside that of the last that a step leaves their float32 "
        "weights as they are.",
        "Hochreiter 1991; the experiment here", experiment=vanishing.vanishing_is_small,
    ),
    Claim(
        7, "without activations neurons pass data on at random.", _W,
        "They compute an affine map: the same output for the same input, every time.",
        "proof: the collapse, exact", experiment=layers.random_without,
    ),
    Claim(
        8, "without activations the predictions are of no use.", _W,
        "It is linear regression: the best that can be done if the target is affine, and often a hard one to beat.",
        f"{_RUN}: an affine target with noise", experiment=layers.useless_without,
    ),
    Claim(
        9, "ReLU is the activation used most.", _I,
        "It depends on the year and on the kind of network: ReLU through most convolutional networks of the 2010s; "
        "transformers mostly use "
        "GELU (BERT, GPT-2) or SwiGLU (LLaMA, PaLM).",
        "Hendrycks & Gimpel 2016; Devlin et al. 2019; Shazeer 2020; Chowdhery et al. 2022; Touvron et al. 2023",
    ),
    Claim(
        10, "ReLU turns a negative weight into 0.", _W,
        "It acts on the pre-activation z = Wx + b; weights keep their values. A negative weight times a negative input "
        "passes.",
        f"{_RUN}: weights before and after", experiment=rectifying.negative_weights,
    ),
    Claim(
        11, "sigmoid gives numbers between 0 and 1 and is used at a binary output.", _T,
        "Strictly between them over the real numbers only: PyTorch's float32 gives exactly 1 from z ≈ 16.64 on "
        "(rounded correctly it would from "
        "z ≈ 17.33), float64 from z ≈ 36.74.",
        "proof, and the saturation lesson", experiment=squashing.sigmoid_range,
    ),
    Claim(
        12, "outputs like 0.00000003 might as well be 0.", _I,
        "The log-loss tells them apart: that of σ(−55) is 55, that of 0 is infinite. And zeros save work only where a "
        "sparse kernel uses them.",
        f"{_RUN}: logsigmoid, and products with zeros, timed", experiment=zeros.small_is_zero,
    ),
    Claim(
        13, "0.99993320 and 0.99999992 could be 7 and 13, or 7 and 55.", _W,
        "They are the sigmoids of 9.6137 and 16.341; 0.00000003 belongs to −17.3 and 0.00000247 to −12.911. σ(7) = "
        "0.99908895, σ(13) = 0.99999774, and "
        "σ(55) is 1 in floats.",
        f"{_RUN}: logit of the printed digits", experiment=squashing.four_numbers,
    ),
    Claim(
        14, "so behind a sigmoid inputs cannot be told apart.", _I,
        "Over the real numbers they can: σ is injective. In floats information is lost: float32 gets 12.998 back from "
        "σ(13), and nothing from σ(55).",
        "proof, and the saturation lesson", experiment=squashing.told_apart,
    ),
    Claim(
        15, "ReLU solved this, and it is faster to compute.", _I,
        "It keeps z > 0 exactly and throws away all z < 0: half of N(0, 1). Speed depends on the machine and must be "
        "measured; beside the product in front of it, any of them is cheap.",
        f"{_RUN}: bit for bit; times are told as ratios, not judged", experiment=rectifying.relu_solved_it,
    ),
    Claim(
        16, "tanh gives numbers between −1 and 1 and is used in RNNs and LSTMs.", _T,
        "tanh z = 2σ(2z) − 1: it is a sigmoid, stretched and moved. An LSTM cell uses both.",
        "symbolic proof; Hochreiter & Schmidhuber 1997", experiment=squashing.tanh_is_sigmoid,
    ),
    Claim(
        17, "tanh outputs average about 0, which helps against vanishing gradients.", _I,
        "For inputs symmetric about 0 only (0.55 over N(1, 1)). It helps the next layer's conditioning; tanh still "
        "saturates.",
        "LeCun, Bottou, Orr & Müller 1998; the centring lesson", experiment=squashing.tanh_is_centred,
    ),
    Claim(
        18, "Leaky ReLU has a small negative value instead of 0.", _I,
        "It has a small slope, 0.01, for z < 0; its value there is as large as one likes.",
        "Maas, Hannun & Ng 2013", experiment=rectifying.leaky_slope,
    ),
    Claim(
        19, "ReLU neurons with negative values do not learn; leaky ones do.", _I,
        "That holds per example. A unit is dead only if z ≤ 0 on all data; then its gradient is exactly 0 with ReLU "
        "and not with Leaky ReLU.",
        "the dead units lesson", experiment=rectifying.negative_do_not_learn,
    ),
    Claim(
        20, "a neuron is a linear transformation and an activation.", _I,
        "An affine one: there is a bias. Superposition fails, mixes whose weights add up to 1 are kept.",
        "proof over the rationals, on the first layer", experiment=layers.neuron_is_affine,
    ),
    Claim(
        21, "by the superposition theorem any mix of linear transformations is one.", _I,
        "Superposition is what defines linear maps. What is used is closure under composition: W = W₄W₃W₂W₁, b by "
        "recursion, of a rank no larger than "
        "the narrowest width.",
        "proof: exact product and induction step", experiment=layers.superposition,
    ),
    Claim(
        22, "any stack of hidden layers without activations is one layer.", _T,
        "For affine layers. 621 parameters become 11, equal without rounding for every input. The function is the "
        "same, the way that training takes is not.",
        "proof; Saxe, McClelland & Ganguli 2013; Arora, Cohen & Hazan 2018", experiment=layers.stack_is_one_layer,
    ),
    Claim(
        23, "without activations only linear patterns can be modelled.", _T,
        "Affine ones. For XOR the smallest mean squared error of an affine map is exactly 1/4; relu(s) − 2·relu(s − 1) "
        "with s = x₁ + x₂ is XOR exactly.",
        "proof over the rationals; Minsky & Papert 1969", experiment=layers.only_linear_patterns,
    ),
    Claim(
        24, "every real system is nonlinear.", _W,
        "Many are linear to within what can be measured (circuits of resistors, sound and light at everyday strength), "
        "and smooth ones are nearly linear near a working point; much of engineering rests on that.",
        "Strang 2016, Introduction to Linear Algebra; Åström & Murray 2008, Feedback Systems",
    ),
    Claim(
        25, "any nonlinearity will do.", _W,
        "Polynomials will not: with degree d and depth L the network is a polynomial of degree at most dᴸ, however "
        "wide. One hidden layer is dense in C(K) if and only if "
        "the activation is not a polynomial (locally bounded, discontinuities of closure measure 0).",
        "Leshno, Lin, Pinkus & Schocken 1993; symbolic degrees and an exact barrier here", ours=True,
        experiment=reach.any_nonlinearity,
    ),
    Claim(
        26, "networks approximate every function correctly (universal approximation).", _I,
        "Continuous functions on a compact set, in the sup norm, with enough units; that such weights exist, not that "
        "training finds them. In one dimension the ReLU interpolant "
        "can be written down: its error is O(h²) for smooth functions.",
        "Cybenko 1989 (sigmoidal); Hornik 1991; Leshno et al. 1993 (includes ReLU)", experiment=reach.every_function,
    ),
    Claim(
        27, "the network has two hidden layers of 18 and one hidden layer of 18.", _W,
        "The code is 10 → 18 → 18 → 4 → 1: four affine layers, three of them hidden, of 18, 18 and 4 units.",
        "counted on SimpleModel", experiment=layers.layer_count,
    ),
    Claim(
        28, "here is a simple data set to train on.", _I,
        "There is nothing to learn in it: y is independent of X, and on fresh data always predicting 0 is best. "
        "Whatever goes below the linear floor there has memorised.",
        "the memorisation lesson: noise beside a pattern", experiment=recipe.something_to_learn,
    ),
    Claim(
        29, "the printed number is the epoch's loss.", _W,
        "It is the loss of the epoch's last mini-batch, before the step on it.",
        f"{_RUN}: both numbers, epoch by epoch", experiment=recipe.printed_loss,
    ),
    Claim(
        30, "zero_grad, backward and step, over epochs and batches, with Adam at a learning rate, train it.", _T,
        "They do. A single step need not lower the loss over the training set. (The article sets no seed and does not "
        "shuffle.)",
        f"{_RUN}: the loss before every step; Kingma & Ba 2015", experiment=recipe.training_loop,
    ),
    Claim(
        31, "activations are gatekeepers: limiting the flow learns better.", _I,
        "Being nonlinear is what helps, not holding back: Leaky ReLU and sin hold nothing back and go below the linear "
        "floor, 0.1·z holds back and does not.",
        f"{_RUN}: against the linear floor", experiment=reach.gatekeepers,
    ),
    Claim(
        32, "a network works like a football team (an analogy).", _I,
        "It is an analogy and shows nothing: players choose, units compute a fixed function of their inputs. It should "
        "be called one.",
        "Gentner 1983, on what analogies carry over and what not",
    ),
    Claim(
        33, "neural networks are common to every AI model.", _W,
        "Search, logic, decision trees, Bayesian networks and linear models are AI, too, and hold none.",
        "Russell & Norvig 2020, Artificial Intelligence: A Modern Approach",
    ),
    Claim(
        34, "the four numbers near 0 and 1 are outputs of a linear transformation.", _W,
        "They are outputs of the sigmoid; those of a linear transformation grow without end as its input does.",
        f"{_RUN}: one input, scaled", experiment=squashing.outputs_of_linear,
    ),
    Claim(
        35, "with millions of weights, could millions of 0.00000003 not be 0?", _I,
        "That mixes weights with activations. An activation that is 0 is so for some inputs; a weight that is pruned "
        "is 0 for all.",
        f"{_RUN}: zeros of a trained network; Han et al. 2015 on pruning", experiment=zeros.weights_and_activations,
    ),
)  # fmt: skip

CLAIMS: Mapping[int, Claim] = MappingProxyType({claim.id: claim for claim in _TABLE})
"""Id to claim, in the article's order."""
