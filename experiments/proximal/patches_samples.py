"""Samples after ten evaluations on colour images: proximal hybrid, Euler-Maruyama and the probability flow, exact denoisers.

Stands in for Fig. 4 of arXiv 2507.08956 (CIFAR-10 samples of trained networks): 32 x 32 colour patches of scikit-learn's two
photographs, the dimension of CIFAR-10, with exact denoisers and exact proximal maps. ``far`` is the distance of a sample to
the nearest patch, over sqrt(n).

What it cannot show: an exact proximal map of a point cloud returns points of the cloud, so the output of the proximal
sampler is training images; a trained network's is not. With CIFAR-10 at hand (`datasets.cifar10`):
``--set data='"cifar10"'``.
"""

from exactdiffusion.studies.figures import Spot, curve_style, helper, legend_below, panels, title

SUMMARY = "stand-in for CIFAR-10 samples: colour patches after 10 evaluations, hybrid, Euler-Maruyama, probability flow"
CAPTION = (
    "After ten evaluations Euler-Maruyama leaves visible noise on every image, the probability-flow ODE and the exact "
    "proximal hybrid sampler none: the hybrid because an exact proximal map of a cloud returns its points, so that "
    "its images are training images. The figure stands in for Fig. 4 of arXiv 2507.08956 (CIFAR-10, trained networks) "
    "with 32 x 32 colour patches of two photographs (n = 3072), exact denoisers and proximal maps, the same starts "
    "and noise. On the right is the distance of each sample to the nearest patch over √n, by number of evaluations "
    "(marks are moved sideways by method); values below 10⁻⁴ are drawn there."
)
PAPER = ("2507.08956", "4", "stand-in")
PARAMETERS = {
    "data": "photo_patches",
    "methods": ["em", "ode", "hybrid"],
    "steps": [5, 10, 20],
    "shown_steps": 10,
    "shown": 6,
}
QUICK = {"steps": [10], "shown": 2}
SPOT = Spot(
    {"methods": ["em", "ode"], "steps": [5, 20]},
    keys=("method", "steps", "k"),
    rtol={"far": 1e-5},
    cause="last bits of BLAS and exp grow along a trajectory",
    atol=1e-9,
)

LABELS = {"em": "Euler-\nMaruyama", "ode": "PF-ODE", "hybrid": "prox,\nhybrid"}


def compute(parameters, progress):
    """Rows (method, steps, k, far, image); the images at ``shown_steps`` alone."""
    import numpy as np

    from exactdiffusion import Noise
    from exactdiffusion.studies import sweep

    law, rows = sweep.law_of(parameters["data"]), []
    run, coded = helper("proximal", "digits_w2").run, helper("shared", "_pictures").coded
    cells = [(method, N) for method in parameters["methods"] for N in parameters["steps"]]
    for method, N in progress(cells, "samples"):
        y = run(method, law, N, Noise(0), parameters["shown"])
        far = np.sqrt(np.mean((y - law.project(y)) ** 2, axis=1))
        for k, image in enumerate(y):
            text = coded(image, -1.0, 1.0) if parameters["shown_steps"] == N else ""
            rows.append({"method": method, "steps": N, "k": k, "far": float(far[k]), "image": text})
    return rows


def draw(table, parameters):
    """Left: samples. Right: their distance to the data."""
    figure, (samples, far) = panels(2, 2.6)
    # the images of one number of steps
    images = {
        text: [r["image"] for r in table if r["method"] == method and r["steps"] == parameters["shown_steps"]]
        for method, text in LABELS.items()
    }
    helper("shared", "_pictures").sheet(samples, images, (32, 32, 3))
    title(samples, f"N = {parameters['shown_steps']}: only Euler-Maruyama leaves noise", inset=0.6)

    # one mark per sample, moved sideways by method
    least = 1e-4
    for index, (method, text) in enumerate(LABELS.items()):
        rows = [r for r in table if r["method"] == method]
        x = [r["steps"] * (1 + 0.06 * (index - 1)) for r in rows]
        marks = {**curve_style(index), "linestyle": "none"}
        far.plot(x, [max(r["far"], least) for r in rows], **marks, label=text.replace("\n", "" if "-" in text else " "))
    far.set_xscale("log")
    far.set_yscale("log")
    far.set_ylim(0.6 * least, 2)
    far.set_xticks(parameters["steps"], [str(N) for N in parameters["steps"]])
    far.set_xticks([], minor=True)
    far.set_xlabel("evaluations of score or prox N")
    far.set_ylabel("distance to the nearest patch / √n")
    title(far, "the exact prox returns patches: distance 0")
    far.annotate("0, drawn at 10⁻⁴", (parameters["steps"][0], least), textcoords="offset points", xytext=(-8, 7), fontsize=7)
    legend_below(figure, 3)
    return figure
