"""The published inference in plain NumPy, OpenCV and librosa, from its description: what the product is held against.

It shares nothing with the product but the network's class. Pictures are ``uint8[N, H, W, 3]`` BGR, boxes
``int64[N, 4]``: left, top, right, bottom.
"""

import cv2
import librosa
import numpy as np
import torch

SIDE = 96


def pad_boxes(found: np.ndarray, pads: tuple[int, int, int, int], height: int, width: int) -> np.ndarray:
    """Widen boxes by top, bottom, left and right, within the picture."""
    top, bottom, left, right = pads
    padded = []
    for x1, y1, x2, y2 in found.tolist():
        padded.append([max(0, x1 - left), max(0, y1 - top), min(width, x2 + right), min(height, y2 + bottom)])
    return np.array(padded, np.int64)


def average_boxes(boxes: np.ndarray) -> np.ndarray:
    """Average each box with the four after it, the last four over the last five; whole numbers, in place."""
    boxes = boxes.copy()
    for i in range(len(boxes)):
        window = boxes[i : i + 5] if i + 5 <= len(boxes) else boxes[-5:]
        boxes[i] = window.mean(axis=0)
    return boxes


def cut(pictures: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the crops, ``uint8[N, 96, 96, 3]``."""
    faces = []
    for picture, (x1, y1, x2, y2) in zip(pictures, boxes.tolist(), strict=True):
        faces.append(cv2.resize(picture[y1:y2, x1:x2], (SIDE, SIDE)))
    return np.array(faces)


def network_input(faces: np.ndarray) -> np.ndarray:
    """Return ``float32[N, 6, 96, 96]``: the crop without its lower half, then the crop."""
    masked = faces.copy()
    masked[:, SIDE // 2 :] = 0
    return (np.concatenate([masked, faces], axis=3) / 255.0).transpose(0, 3, 1, 2).astype(np.float32)


def mel(samples: np.ndarray) -> np.ndarray:
    """Return the mel of a whole file at 16 kHz, ``float[80, T]``; its ends are mirrored, as librosa did by default."""
    emphasised = np.append(samples[:1], samples[1:] - 0.97 * samples[:-1]).astype(np.float64)
    magnitudes = np.abs(librosa.stft(emphasised, n_fft=800, hop_length=200, win_length=800, pad_mode="reflect"))
    bands = librosa.filters.mel(sr=16000, n_fft=800, n_mels=80, fmin=55, fmax=7600) @ magnitudes
    decibels = 20 * np.log10(np.maximum(1e-5, bands)) - 20
    scaled: np.ndarray = np.clip(8 * (decibels + 100) / 100 - 4, -4, 4)
    return scaled


def windows(columns: np.ndarray) -> np.ndarray:
    """Return the 16 columns of each picture, ``[N, 80, 16]``; the first window that is not whole is the last."""
    chosen: list[np.ndarray] = []
    while (start := int(len(chosen) * 80 / 25)) + 16 <= columns.shape[1]:
        chosen.append(columns[:, start : start + 16])
    return np.array([*chosen, columns[:, -16:]])


def draw(network: torch.nn.Module, mels: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return ``uint8[N, 96, 96, 3]``, cut off to whole numbers."""
    with torch.inference_mode():
        drawn = network(torch.from_numpy(mels[:, None].astype(np.float32)), torch.from_numpy(network_input(faces)))
    cut_off: np.ndarray = (drawn.numpy().transpose(0, 2, 3, 1) * 255.0).astype(np.uint8)
    return cut_off


def paste(picture: np.ndarray, face: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return the picture with a drawn face at its box."""
    x1, y1, x2, y2 = box.tolist()
    pasted = picture.copy()
    pasted[y1:y2, x1:x2] = cv2.resize(face, (x2 - x1, y2 - y1))
    return pasted
