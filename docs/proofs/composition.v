(* A composition of affine maps is an affine map: for every number of layers,
   for all widths, over every commutative ring. Coq checks every step, the
   induction included.

   Compile it with Coq 8.16 or later: coqc composition.v *)

From Coq Require Import Ring Fin Qcanon ZArith Lia.

(** 1. Numbers: a commutative ring *)

Section Composition.

Variable R : Type.
Variables (zero one : R) (add mul sub : R -> R -> R) (opp : R -> R).
Hypothesis ring_laws : ring_theory zero one add mul sub opp eq.
Add Ring the_ring : ring_laws.

Notation "0" := zero.
Notation "1" := one.
Infix "+" := add.
Infix "*" := mul.

(** 2. Vectors, and sums over their places *)

Definition place := Fin.t.
Definition vector (n : nat) := place n -> R.

Fixpoint sum {n : nat} : vector n -> R :=
  match n with
  | O => fun _ => 0
  | S _ => fun v => v F1 + sum (fun i => v (FS i))
  end.

(** 3. Affine maps *)

Record affine (n m : nat) := {
  weight : place m -> place n -> R;
  bias : vector m
}.
Arguments weight {n m}.
Arguments bias {n m}.

Definition apply {n m} (f : affine n m) (x : vector n) : vector m :=
  fun i => sum (fun j => weight f i j * x j) + bias f i.

Definition identity {n} : affine n n := {|
  weight i j := if Fin.eqb i j then 1 else 0;
  bias _ := 0
|}.

Definition compose {n m p} (g : affine m p) (f : affine n m) : affine n p :=
{|
  weight i j := sum (fun k => weight g i k * weight f k j);
  bias i := sum (fun k => weight g i k * bias f k) + bias g i
|}.

(** 4. Networks without activations: lists of affine maps whose widths meet *)

Inductive network : nat -> nat -> Type :=
  | no_layer {n} : network n n
  | layer {n m p} : affine n m -> network m p -> network n p.

Fixpoint run {n m} (net : network n m) : vector n -> vector m :=
  match net with
  | no_layer => fun x => x
  | layer f rest => fun x => run rest (apply f x)
  end.

Fixpoint collapse {n m} (net : network n m) : affine n m :=
  match net with
  | no_layer => identity
  | layer f rest => compose (collapse rest) f
  end.

(** 5. Four facts about sums *)

Lemma sum_same {n} (u v : vector n) : (forall i, u i = v i) -> sum u = sum v.
Proof.
  induction n; intro same; simpl.
  - reflexivity.
  - rewrite same. f_equal. apply IHn. intro i. apply same.
Qed.

Lemma sum_zero {n} : sum (fun _ : place n => 0) = 0.
Proof.
  induction n; simpl.
  - reflexivity.
  - rewrite IHn. ring.
Qed.

Lemma sum_add {n} (u v : vector n) : sum (fun i => u i + v i) = sum u + sum v.
Proof.
  induction n; simpl.
  - ring.
  - rewrite IHn. ring.
Qed.

Lemma sum_scale {n} (a : R) (v : vector n) :
  sum (fun i => a * v i) = a * sum v.
Proof.
  induction n; simpl.
  - ring.
  - rewrite IHn. ring.
Qed.

(** 6. The order of two sums does not matter *)

Lemma sum_swap {n m} (a : place n -> place m -> R) :
  sum (fun i => sum (fun j => a i j)) = sum (fun j => sum (fun i => a i j)).
Proof.
  induction n; simpl.
  - symmetry. apply sum_zero.
  - rewrite IHn. symmetry. apply sum_add.
Qed.

(** 7. Base case: the identity changes nothing *)

Lemma sum_pick {n} (i : place n) (x : vector n) :
  sum (fun j => (if Fin.eqb i j then 1 else 0) * x j) = x i.
Proof.
  induction i; simpl.
  - rewrite PeanoNat.Nat.eqb_refl.
    rewrite (sum_same _ (fun _ => 0)).
    + rewrite sum_zero. ring.
    + intro j. ring.
  - rewrite IHi. ring.
Qed.

Lemma apply_identity {n} (x : vector n) i : apply identity x i = x i.
Proof.
  unfold apply. simpl. rewrite sum_pick. ring.
Qed.

(** 8. Induction step: two affine maps are one *)

Lemma apply_compose {n m p}
    (g : affine m p) (f : affine n m) (x : vector n) (i : place p) :
  apply (compose g f) x i = apply g (apply f x) i.
Proof.
  unfold apply. simpl.
  set (G := weight g i). set (F := weight f).
  transitivity (sum (fun k => sum (fun j => G k * F k j * x j))
                + sum (fun k => G k * bias f k) + bias g i).
  - rewrite sum_swap.
    rewrite (sum_same _ (fun j => sum (fun k => G k * F k j * x j))); [ring|].
    intro j. symmetry.
    rewrite (sum_same _ (fun k => x j * (G k * F k j))); [|intro k; ring].
    rewrite sum_scale. ring.
  - rewrite <- sum_add. f_equal. apply sum_same. intro k.
    rewrite (sum_same _ (fun j => G k * (F k j * x j))); [|intro j; ring].
    rewrite sum_scale. ring.
Qed.

(** 9. The theorem *)

Theorem collapse_correct {n m}
    (net : network n m) (x : vector n) (i : place m) :
  run net x i = apply (collapse net) x i.
Proof.
  induction net as [n | n m p f rest step]; simpl.
  - symmetry. apply apply_identity.
  - rewrite step. symmetry. apply apply_compose.
Qed.

Corollary affine_maps_compose {n m} (net : network n m) :
  exists f : affine n m, forall x i, run net x i = apply f x i.
Proof.
  exists (collapse net). apply collapse_correct.
Qed.

(** 10. Without biases it stays without *)

Fixpoint linear {n m} (net : network n m) : Prop :=
  match net with
  | no_layer => True
  | layer f rest => (forall i, bias f i = 0) /\ linear rest
  end.

Theorem linear_collapse {n m} (net : network n m) :
  linear net -> forall i, bias (collapse net) i = 0.
Proof.
  induction net as [n | n m p f rest step]; simpl.
  - reflexivity.
  - intros [no_bias others] i. rewrite (step others).
    rewrite (sum_same _ (fun _ => 0)); [rewrite sum_zero; ring|].
    intro k. rewrite no_bias. ring.
Qed.

End Composition.

(** 11. The rational numbers are such a ring, and floats are among them *)

Theorem over_the_rationals {n m} (net : network Qc n m) :
  exists f : affine Qc n m, forall x i,
    run Qc 0%Qc Qcplus Qcmult net x i = apply Qc 0%Qc Qcplus Qcmult f x i.
Proof.
  exact (affine_maps_compose
    Qc 0%Qc 1%Qc Qcplus Qcmult Qcminus Qcopp Qcrt net).
Qed.

(** 12. An activation is another matter: no affine map is ReLU *)

Theorem relu_is_not_affine :
  ~ exists f : affine Z 1 1, forall x,
      apply Z 0%Z Z.add Z.mul f (fun _ => x) F1 = Z.max 0 x.
Proof.
  intros [f same].
  assert (at_minus_one := same (-1)%Z).
  assert (at_zero := same 0%Z).
  assert (at_one := same 1%Z).
  unfold apply in *. simpl in *. lia.
Qed.

(** 13. What all this rests on *)

Print Assumptions collapse_correct.
Print Assumptions affine_maps_compose.
Print Assumptions linear_collapse.
Print Assumptions over_the_rationals.
Print Assumptions relu_is_not_affine.
