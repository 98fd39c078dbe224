"""Audit a learned denoiser: a scikit-learn regressor, then a network's convention taken for another one."""

import numpy as np
from sklearn.neural_network import MLPRegressor

import exactdiffusion as ed
from exactdiffusion.papers.projection.predictions import Convention

rng = np.random.default_rng(0)
points = rng.normal(size=(8, 2)) * 2
clean, sigma = points[rng.integers(8, size=20_000)], np.exp(rng.uniform(np.log(0.01), np.log(40), size=(20_000, 1)))
noise = rng.normal(size=clean.shape)
inputs = np.hstack([(clean + sigma * noise) / np.sqrt(1 + sigma**2), np.log(sigma)])
net = MLPRegressor(hidden_layer_sizes=(64, 64), max_iter=30, random_state=0).fit(inputs, noise)


def predict_noise(x, sigma):
    s = np.reshape(sigma, (-1, 1))
    return net.predict(np.hstack([x / np.sqrt(1 + s**2), np.log(s)]))


print(ed.audit(predict_noise, points, convention=Convention("noise")).text())
print(ed.audit(predict_noise, points, sigma_ratio=0.1, N=5).next_action)  # the convention is not said: it is named
