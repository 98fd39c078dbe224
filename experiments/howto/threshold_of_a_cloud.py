"""How much noise makes the law of my 30 points in space log-concave? A bracket, with a proof of its upper side."""

import numpy as np

import exactdiffusion as ed
from exactdiffusion.papers.log_concavity.certificates import certify_log_concavity, log_concavity_threshold

law = ed.PointCloud(np.random.default_rng(0).normal(size=(30, 3)))  # or np.loadtxt("mine.csv", delimiter=",")
found = log_concavity_threshold(law, rtol=2e-3)
closed = found.half_diameter_squared
print(f"least variance of the noise: in [{found.lower:.4f}, {found.upper:.4f}]; the closed bound: {closed:.4f}")

# each side has its reason
print(f"certified: {found.certified}; upper side by {found.upper_by}: {found.certificate.cells:,} cells cover the space")
far = found.witness_at_infinity
seen = f"far out, between the atoms {far} in sorted order" if far else f"at y = {np.round(found.witness, 2)}"
print(f"lower side: the law is not log-concave {seen}")

# another program examines a proof (extra `rigorous`): every cell with every=1, here each 50th of a coarser claim
proof = certify_log_concavity(law, 1.2 * found.upper, keep_leaves=True)
print(f"1.2 times the variance, examined in ball arithmetic: {proof.recheck(every=50)}")
