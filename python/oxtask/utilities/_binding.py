"""Binding the arguments of a call to parameters, and parameters back to arguments.

``inspect.Signature.bind`` costs microseconds a parameter. A `SignaturePlan` is made once for a
callable (by `oxtask.utilities._signature.signature_plan`) and binds in plain Python. What it cannot
bind is handed to `inspect`, which knows how to word the error.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from oxtask._internal.text import short_repr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from inspect import Signature
    from typing import NoReturn

    from oxtask.utilities._signature import Receiver

# The values of `inspect.Parameter.kind`.
POSITIONAL_ONLY, POSITIONAL_OR_KEYWORD, VAR_POSITIONAL, KEYWORD_ONLY, VAR_KEYWORD = range(5)

_MAX_SIGNATURE_TEXT = 500


class SignaturePlan:
    """What has to be known about a callable to bind calls to it.

    Made by `signature_plan`. A plan does not follow later changes of the callable; keep it next to
    the callable and make a new one when that is replaced.

    Attributes:
        fn: The callable.
        names: The names of all parameters, in order.
        kinds: The kind of each parameter, as in `inspect.Parameter.kind`.
        defaults: Default values by name; see `factories` for those made anew for each call.
        factories: What makes the default of a parameter that has a ``default_factory``, by name.
        positional: The names of the parameters that take positional arguments.
        positional_only_count: How many of these cannot be passed by keyword.
        keyword_only: The names of the keyword-only parameters.
        required_count: The number of parameters that must be given.
        var_positional: The name of the ``*args`` parameter, or None.
        var_keyword: The name of the ``**kwargs`` parameter, or None.
    """

    __slots__ = (
        "_all",
        "_by_keyword",
        "_only_required",
        "_receiver",
        "_signature",
        "defaults",
        "factories",
        "fn",
        "keyword_only",
        "kinds",
        "names",
        "positional",
        "positional_only_count",
        "required_count",
        "var_keyword",
        "var_positional",
    )

    def __init__(
        self,
        fn: Callable[..., Any],
        names: tuple[str, ...],
        kinds: tuple[int, ...],
        defaults: Mapping[str, Any],
        receiver: Receiver | None = None,
    ) -> None:
        self.fn: Callable[..., Any] = fn
        self.names: tuple[str, ...] = names
        self.kinds: tuple[int, ...] = kinds
        self.defaults: dict[str, Any] = {}
        self.factories: dict[str, Callable[[Mapping[str, Any]], Any]] = {}
        self._signature: Signature | None = None
        self._receiver = receiver
        for name, default in defaults.items():
            self._add_default(name, default)
        by_kind: list[list[str]] = [[], [], [], [], []]
        for name, kind in zip(names, kinds, strict=True):
            by_kind[kind].append(name)
        self.positional: tuple[str, ...] = (
            *by_kind[POSITIONAL_ONLY],
            *by_kind[POSITIONAL_OR_KEYWORD],
        )
        self.positional_only_count: int = len(by_kind[POSITIONAL_ONLY])
        self.keyword_only: tuple[str, ...] = tuple(by_kind[KEYWORD_ONLY])
        self.var_positional: str | None = next(iter(by_kind[VAR_POSITIONAL]), None)
        self.var_keyword: str | None = next(iter(by_kind[VAR_KEYWORD]), None)
        self._all = frozenset(names)
        self._by_keyword = frozenset((*by_kind[POSITIONAL_OR_KEYWORD], *self.keyword_only))
        self.required_count: int = sum(
            name not in self.defaults and name not in self.factories
            for name in (*self.positional, *self.keyword_only)
        )
        self._only_required = receiver is None and len(
            self.positional
        ) == self.required_count == len(names)

    def _add_default(self, name: str, default: Any) -> None:
        # A `pydantic.Field(...)` can only be here if pydantic is imported.
        field_type = getattr(sys.modules.get("pydantic.fields"), "FieldInfo", None)
        if field_type is None or not isinstance(default, field_type):
            self.defaults[name] = default
        elif (factory := default.default_factory) is not None:
            takes_bound = getattr(default, "default_factory_takes_validated_data", False)
            self.factories[name] = factory if takes_bound else lambda _bound: factory()
        elif not default.is_required():
            self.defaults[name] = default.default

    @property
    def has_var_positional(self) -> bool:
        """Whether there is a ``*args`` parameter."""
        return self.var_positional is not None

    @property
    def has_var_keyword(self) -> bool:
        """Whether there is a ``**kwargs`` parameter."""
        return self.var_keyword is not None

    @property
    def signature(self) -> Signature:
        """The signature as `inspect` sees it; read on first access."""
        if self._signature is None:
            from inspect import signature  # noqa: PLC0415 - start-up time

            self._signature = signature(self.fn)
        return self._signature

    @property
    def function_name(self) -> str:
        """The name of the callable, or of its type if it has none."""
        return getattr(self.fn, "__name__", None) or type(self.fn).__name__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.function_name}({self.signature_text()})>"

    def signature_text(self) -> str:
        """Return the parameters as they are written in a definition, without parentheses."""
        from inspect import Signature  # noqa: PLC0415 - start-up time

        try:
            # The text of a default is up to its `repr`.
            text = str(self.signature.replace(return_annotation=Signature.empty))[1:-1]
        except Exception:  # noqa: BLE001 - it must not hide the error this text is made for
            text = ", ".join(self.names)
        return text if len(text) <= _MAX_SIGNATURE_TEXT else f"{text[:_MAX_SIGNATURE_TEXT]}..."

    def bind(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], apply_defaults: bool = True
    ) -> dict[str, Any]:
        """Assign the arguments of a call to parameters.

        Args:
            args: The positional arguments.
            kwargs: The keyword arguments.
            apply_defaults: Whether parameters that were not given appear with their defaults
                (the very same objects), and unused ``*args`` and ``**kwargs`` as empty tuple and
                dict.

        Returns:
            The values by parameter name, in the order of the signature; ``*args`` as a tuple and
            ``**kwargs`` as a dict under their own names.

        Raises:
            ParameterBindError: If the callable cannot be called like this.
        """
        positional = self.positional
        given = len(args)
        if not kwargs and given == len(self.names) == len(positional):
            return dict(zip(positional, args, strict=True))

        bound: dict[str, Any] = dict(zip(positional, args))  # noqa: B905 - either may be longer
        used = 0
        if given > len(positional):
            if self.var_positional is None:
                self._fail(args, kwargs)
        else:
            for index in range(given, len(positional)):
                name = positional[index]
                if name in kwargs and index >= self.positional_only_count:
                    bound[name] = kwargs[name]
                    used += 1
                elif not self._bind_default(bound, name, apply_defaults):
                    self._fail(args, kwargs)
        if self.var_positional is not None and (apply_defaults or given > len(positional)):
            bound[self.var_positional] = args[len(positional) :]
        for name in self.keyword_only:
            if name in kwargs:
                bound[name] = kwargs[name]
                used += 1
            elif not self._bind_default(bound, name, apply_defaults):
                self._fail(args, kwargs)
        if self.var_keyword is None:
            if used != len(kwargs):
                self._fail(args, kwargs)
            return bound
        rest: dict[str, Any] = {}
        if used != len(kwargs):
            rest = {name: kwargs[name] for name in kwargs if name not in self._by_keyword}
            if used + len(rest) != len(kwargs):  # A name was given by position and by keyword.
                self._fail(args, kwargs)
        if apply_defaults or rest:
            bound[self.var_keyword] = rest
        return bound

    def _bind_default(self, bound: dict[str, Any], name: str, apply_defaults: bool) -> bool:
        if name in self.defaults:
            if apply_defaults:
                bound[name] = self.defaults[name]
        elif name in self.factories:
            if apply_defaults:
                bound[name] = self.factories[name](bound)
        else:
            return False
        return True

    def _fail(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NoReturn:
        from oxtask.exceptions import ParameterBindError  # noqa: PLC0415 - start-up time

        cause: TypeError | None = None
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            reason, cause = str(error), error
        else:
            # `inspect` takes the marker of a required field, `x: int = Field()`, for a default.
            optional = {*self.defaults, *self.factories, *bound.arguments}
            missing = [n for n in (*self.positional, *self.keyword_only) if n not in optional]
            reason = (
                f"missing a required argument: {', '.join(map(repr, missing))}"
                if missing
                else "the arguments do not fit the signature"
            )
        msg = (
            f"Error binding parameters for function '{self.function_name}': {reason}.\n"
            f"It has signature '{self.signature_text()}' but "
            f"received args: {short_repr(args)} and kwargs: {short_repr(list(kwargs))}."
        )
        raise ParameterBindError(msg) from cause

    def arguments(self, parameters: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Turn parameters back into the arguments of a call; undoes `bind`.

        Required parameters are passed by position and those with a default by keyword, as far as
        the signature allows. If the callable is a `functools.wraps` wrapper, its own signature
        decides what goes by position. Missing parameters are not an error here.

        Args:
            parameters: Values by parameter name.

        Returns:
            Positional and keyword arguments.

        Raises:
            SignatureMismatchError: If there is no parameter of a given name.
            TypeError: If a parameter is given by name and in ``**kwargs``.
        """
        if self._only_required and len(parameters) == len(self.names):
            try:
                return tuple([parameters[name] for name in self.names]), {}
            except KeyError:
                pass  # reported below
        if not parameters.keys() <= self._all:
            from oxtask.exceptions import SignatureMismatchError  # noqa: PLC0415 - start-up time

            raise SignatureMismatchError.from_bad_params(self.names, parameters)
        args, kwargs = self._split_positional(parameters)
        for name in self.keyword_only:
            if name in parameters:
                kwargs[name] = parameters[name]
        rest = parameters.get(self.var_keyword, {}) if self.var_keyword is not None else {}
        for name in rest:
            if name in kwargs or (name in self._by_keyword and name in parameters):
                msg = (
                    f"{self.function_name}() got multiple values for argument {name!r}: it is "
                    f"given by name and in {self.var_keyword!r}. Leave one out."
                )
                raise TypeError(msg)
        kwargs.update(rest)
        return tuple(args), kwargs

    def _split_positional(self, parameters: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Distribute the parameters that may go either way, and ``*args``."""
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        rest = parameters.get(self.var_positional, ()) if self.var_positional is not None else ()
        filled = 0  # Defaults at the end, put in only to keep later values in place.
        gap = False  # A required parameter is missing: what follows would take its place.
        skipped = False  # Something went by keyword, or not at all.
        for index, name in enumerate(self.positional):
            by_position = not gap and (
                bool(rest) or self._by_position(index, name, len(args), skipped)
            )
            skipped = skipped or not by_position
            if name not in parameters:
                default: dict[str, Any] = {}
                if by_position and self._bind_default(default, name, apply_defaults=True):
                    args.append(default[name])
                    filled += 1
                elif by_position:
                    gap = True
            elif by_position:
                args.append(parameters[name])
                filled = 0
            else:
                kwargs[name] = parameters[name]
        if rest and not gap:
            args.extend(rest)
        elif filled:
            del args[-filled:]
        return args, kwargs

    def _by_position(self, index: int, name: str, taken: int, skipped: bool) -> bool:
        if self._receiver is not None:
            return self._receiver.takes_by_position(name, taken, skipped=skipped)
        if index < self.positional_only_count or self.var_positional is not None:
            return True
        return not skipped and name not in self.defaults and name not in self.factories

    def with_defaults(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return bound parameters in the order of the signature, with defaults for missing ones.

        Like `bind` with ``apply_defaults``; required parameters may be missing.
        """
        bound: dict[str, Any] = {}
        for name, kind in zip(self.names, self.kinds, strict=True):
            if name in parameters:
                bound[name] = parameters[name]
            elif kind == VAR_POSITIONAL:
                bound[name] = ()
            elif kind == VAR_KEYWORD:
                bound[name] = {}
            else:
                self._bind_default(bound, name, apply_defaults=True)
        return bound
