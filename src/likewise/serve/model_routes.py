"""The model itself: embeddings of what a client sends, and zero-shot classes by their names."""

from __future__ import annotations

import time
from typing import Annotated

import numpy as np
from fastapi import APIRouter, File, Form, Header, Response, UploadFile
from fastapi.responses import JSONResponse
from numpy.typing import NDArray
from scipy.special import softmax

from likewise.data.prompts import class_prompts
from likewise.errors import ServeError
from likewise.evaluation import prompt_ensemble
from likewise.serve.answers import Classified, Embedded
from likewise.serve.engine import Engine

__all__ = ["model_router"]

BINARY = "application/octet-stream"
TEMPLATE = "a photo of a {}."
TEMPERATURE = 0.01


def model_router(engine: Engine) -> APIRouter:
    """``/embed`` and ``/classify`` of an engine."""
    router = APIRouter()
    limits = engine.limits

    def check_number(number: int, most: int, what: str) -> None:
        if not 1 <= number <= most:
            raise ServeError(
                f"The request has {number:,} {what}.",
                expected=f"Expected 1 to {most:,}.",
                advice="Send several requests." if number else "Send some as multipart/form-data.",
                status=413 if number else 400,
            )

    @router.post(
        "/embed",
        response_model=Embedded,
        summary="Embeddings of images and texts",
        responses={200: {"content": {BINARY: {}}, "description": "As JSON, or as float32."}},
    )
    async def embed(
        images: Annotated[list[UploadFile] | None, File(description="Image files.")] = None,
        texts: Annotated[list[str] | None, Form(description="Texts, for a model that was trained with texts.")] = None,
        accept: Annotated[str, Header(description=f"{BINARY} for numbers alone.")] = "application/json",
    ) -> Response:
        """Images first, then texts, in the order in which they were sent.

        With `Accept: application/octet-stream` the answer is the numbers alone: little-endian float32, row by row, as many
        columns as the header `X-Embedding-Dim` says.
        """
        began = time.perf_counter()
        files, words = images or [], texts or []
        check_number(len(files) + len(words), limits.items, "images and texts")
        # The texts are checked before any image is decoded: what is refused costs nothing.
        rows = await engine.embed_texts(words) if words else []
        rows = [*(await engine.embed_images(files) if files else []), *rows]
        embeddings = np.stack(rows).astype("<f4")
        if BINARY in accept:
            headers = {"X-Embedding-Dim": str(embeddings.shape[1]), "X-Model": engine.manifest.model}
            return Response(embeddings.tobytes(), media_type=BINARY, headers=headers)
        return JSONResponse(
            {
                "embeddings": embeddings.tolist(),
                "embedding_dim": embeddings.shape[1],
                "model": engine.manifest.model,
                "seconds": time.perf_counter() - began,
            }
        )

    @router.post("/classify", response_model=Classified, summary="Which of these names fits an image best")
    async def classify(
        names: Annotated[list[str], Form(description="Names of classes; repeat the field.")],
        image: Annotated[UploadFile | None, File(description="An image file.")] = None,
        id: Annotated[str | None, Form(description="Of an image in the index.")] = None,
        template: Annotated[str, Form(description="A sentence with {} for the name.")] = TEMPLATE,
        temperature: Annotated[float, Form(description="Divides the cosines before the softmax.")] = TEMPERATURE,
    ) -> Response:
        """Zero-shot: the image takes the class whose sentence is nearest (cosine), without any training for these classes.

        Send one of `image` and `id`. The order and the cosines are the model's; how sure the probabilities sound is the
        temperature's, which CLIP has at 0.01.
        """
        began = time.perf_counter()
        if (image is None) == (id is None):
            raise ServeError(
                "The request has no image, or two.",
                expected="Expected one of image and id.",
                advice="Send one of them.",
            )
        if not 1e-4 <= temperature <= 100:
            raise ServeError(f"temperature is {temperature:g}.", expected="Expected 0.0001 to 100.")
        check_number(len(names), limits.names, "names")
        sentences = [sentence for (sentence,) in class_prompts(names, [template])]
        classes = prompt_ensemble(np.stack(await engine.embed_texts(sentences))[:, None])
        embedding: NDArray[np.floating]
        if image is not None:
            embedding = (await engine.embed_images([image]))[0]
        else:
            embedding = np.asarray((await engine.row(id or "", ["embedding"]))["embedding"])
        length = float(np.linalg.norm(embedding))
        similarities = classes @ (embedding / length if length else embedding)
        probabilities = softmax(similarities / temperature)
        order = np.argsort(-similarities, kind="stable").tolist()
        return JSONResponse(
            {
                "classes": [
                    {"name": names[i], "probability": float(probabilities[i]), "similarity": float(similarities[i])}
                    for i in order
                ],
                "template": template,
                "temperature": temperature,
                "seconds": time.perf_counter() - began,
            }
        )

    return router
