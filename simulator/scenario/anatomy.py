"""The models of a scenario seen from outside: parts, kinds, lists, and what each field is.

Owns the walk over their annotations, from which error texts, the commented example and the JSON
Schema get their names; so none of them can disagree with the models. Knows nothing about files.
"""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from simulator.scenario.schema import Scenario

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from simulator.scenario.problem import Location

Model = type[BaseModel]
_UNIONS: Final = {Union, types.UnionType}
KIND: Final = "kind"


@dataclass(frozen=True, slots=True)
class Shape:
    """What may stand at a place.

    Attributes:
        form: `value` is a scalar, `part` one model, `choice` one of several models by their kind.
        models: The model, or the models to choose from.
        item: Of a list or of a map from names.
        nullable: Whether it may be left empty.
    """

    form: Literal["value", "part", "choice", "list", "map"]
    models: tuple[Model, ...] = ()
    item: Shape | None = None
    nullable: bool = False


def shape_of(annotation: Any) -> Shape:
    """The shape of a field's annotation."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return shape_of(arguments[0])
    if origin in _UNIONS:
        others = [argument for argument in arguments if argument is not type(None)]
        nullable = len(others) < len(arguments)
        if len(others) == 1:
            inner = shape_of(others[0])
            return Shape(inner.form, inner.models, inner.item, nullable)
        if all(isinstance(other, type) and issubclass(other, BaseModel) for other in others):
            return Shape("choice", tuple(others), None, nullable)
        return Shape("value", nullable=nullable)
    if origin is list:
        return Shape("list", item=shape_of(arguments[0]))
    if origin is dict:
        return Shape("map", item=shape_of(arguments[1]))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Shape("part", (annotation,))
    return Shape("value")


def kind_of(model: Model) -> str | None:
    """What `kind` has to be for this model to be meant; None for parts without kinds."""
    field = model.model_fields.get(KIND)
    if field is None:
        return None
    values = get_args(field.annotation)
    return str(values[0]) if len(values) == 1 else None


def kinds_of(shape: Shape) -> dict[str, Model]:
    """The models of a choice by their kind."""
    return {kind: model for model in shape.models if (kind := kind_of(model)) is not None}


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a scenario.

    Attributes:
        location: The place, without the kinds that pydantic puts into its locations.
        shape: What may stand there; None for a key that does not exist.
        owner: The model around it.
        field: The field of the owner it is, or is part of.
    """

    location: Location
    shape: Shape | None
    owner: Model
    field: FieldInfo | None


def find(location: Location, root: Model = Scenario) -> Spot:
    """Follow a location of a pydantic error through the models, from the topmost one."""
    shape: Shape | None = Shape("part", (root,))
    owner: Model = root
    field: FieldInfo | None = None
    path: list[str | int] = []
    for element in location:
        if shape is not None and shape.form == "choice":
            shape = Shape("part", (kinds_of(shape)[str(element)],))
            owner = shape.models[0]
            continue
        if shape is None or shape.form == "value":
            # Pydantic marks an error of a key itself with "[key]" behind it.
            if element != "[key]":
                path.append(element)
            continue
        if shape.form == "part" and element != "[key]":
            owner = shape.models[0]
            field = owner.model_fields.get(str(element))
            shape = shape_of(field.annotation) if field is not None else None
        elif element == "[key]":
            continue
        else:
            shape = shape.item
        path.append(element)
    if shape is not None and shape.form == "part":
        owner = shape.models[0]
    return Spot(tuple(path), shape, owner, field)


def every_model(root: Model = Scenario) -> list[Model]:
    """All models a scenario can be made of, each once, from the top down."""
    found: list[Model] = [root]
    for model in found:
        for field in model.model_fields.values():
            shape: Shape | None = shape_of(field.annotation)
            while shape is not None:
                found += [inner for inner in shape.models if inner not in found]
                shape = shape.item
    return found
