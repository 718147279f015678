"""Names for runs that were given none: two words, easy to say and to find again in a log."""

from __future__ import annotations

import os

_ADJECTIVES = """
able agile airy alert amber ample apt azure balmy bold brave breezy bright brisk bronze calm candid
cheery chic civil clear clever cosy crisp curious dapper daring deft dewy eager early earnest easy
elated fair famed fancy festive fierce fleet fluent fond frank free fresh frosty gentle gilded glad
gleaming golden grand green happy hardy hazel honest humble ivory jaunty jolly keen kind lively
loyal lucid lucky lunar mellow merry mighty mild misty modest neat nimble noble patient placid
plucky polite proud prudent quick quiet rapid rosy royal rustic sandy serene silent silver smooth
snug solar spry steady sunny swift tidy upbeat vivid warm witty
""".split()  # noqa: SIM905 - a hundred words, not a hundred lines

_NOUNS = """
acorn alder anchor antelope badger bamboo barley basil beacon beaver birch bison brook cactus canyon
cedar cheetah clover comet condor coral cove crane cricket dahlia delta dolphin dune eagle egret elk
ember falcon fern ferret finch fjord fox gazelle gecko geyser glacier glade grove gull harbor hare
hazelnut heron hickory ibex inlet iris island jackal jasmine juniper kestrel kiwi lagoon lantern
larch lark lemur lichen linden llama lotus lynx magpie maple marmot meadow meteor mole moose moss
nebula newt nutmeg oak oasis ocelot orchid osprey otter owl panda pebble pelican pine plover poppy
prairie puffin quail quartz raven reef robin sable sage salmon seal sparrow spruce stork swan
tamarin thistle tundra turtle walnut willow wombat wren zebra
""".split()  # noqa: SIM905 - a hundred words, not a hundred lines


def random_slug() -> str:
    """Return an adjective and a noun joined by a dash, such as ``quiet-otter``.

    >>> len(random_slug().split("-"))
    2
    """
    # From the operating system: a seeded `random` would give every run of a program the same names.
    number = int.from_bytes(os.urandom(8), "big")
    number, adjective = divmod(number, len(_ADJECTIVES))
    return f"{_ADJECTIVES[adjective]}-{_NOUNS[number % len(_NOUNS)]}"
