"""The words that new track ids are made of: plain, short, and kind to read aloud."""

from __future__ import annotations

ADJECTIVES = """
amber ample arctic autumn azure balmy bold brave breezy bright brisk bronze calm candid careful
cheery chilly civil clean clever coastal cobalt copper coral cosmic cozy crimson crisp curious
dapper daring dawn deep deft dewy distant dusky eager early earnest easy ebony elegant emerald
epic even fabled fair faithful famous fancy fearless festive fiery firm fleet fluent fond free
fresh frosty gentle giant gilded glad gleaming golden graceful grand grateful green happy hardy
hazel hearty hidden honest humble hushed icy indigo inner ivory jade jolly jovial joyful keen kind
large late lavish leafy level light lilac lively local lofty loyal lucid lucky lunar magic maple
marine mellow merry mighty mild mint misty modest mossy navy neat nimble noble northern novel
oaken ocean olive opal open orange outer patient peaceful pearl placid plain plucky polar polite
prime proud pure quaint quick quiet radiant rapid rare ready regal rising river robust rosy royal
ruby rural rustic sage sandy scarlet serene sharp shining silent silver simple sleek smooth snowy
soft solar solid southern spry stable starry steady stellar still stout subtle sunny super supple
swift tall tawny tender tidal tidy tranquil true trusty upbeat urban valiant velvet verdant violet
vivid warm western wild willing windy winter wise witty woven young zesty
""".split()

NOUNS = """
acacia adder albatross alder alpaca antelope ash aspen badger bamboo barley basil bass beaver
beech beetle begonia birch bison bluebell bobcat bonobo bramble buffalo bulbul bunting camel
canary caribou carp cedar cheetah cherry chestnut cicada clover cobra cod condor cormorant cougar
coyote crane cricket crocus crow cuckoo cypress daffodil dahlia daisy deer dingo dogwood dolphin
donkey dove dragonfly duck eagle eel egret elder elk elm ermine falcon fern ferret fig finch fir
firefly flamingo flax fox foxglove frog fuchsia gannet gazelle gecko gentian gibbon ginkgo giraffe
goldfinch goose gopher grouse gull guppy hamster hare hawk hawthorn hazelnut heather hedgehog
heron herring hibiscus holly hornet horse hyacinth hyena ibex ibis iguana impala iris ivy jackal
jackdaw jaguar jasmine jay juniper kestrel kingfisher kite kiwi koala krill ladybird larch lark
laurel lavender lemming lemur leopard lichen lilac lily linden lion lizard llama lobster lotus
lupin lynx macaw magnolia magpie mallard mallow manatee mantis maple marigold marlin marmot marten
meadowlark meerkat mink mole mongoose moose moth mulberry mussel myrtle narwhal nettle newt
nightingale oak ocelot octopus olive orchid oriole osprey otter owl oyster panda panther parrot
partridge peacock pelican penguin peony perch petrel pheasant pigeon pike pine pintail plover
poplar poppy porpoise primrose puffin puma python quail rabbit raccoon ram raven redwood reindeer
robin rook rose rowan sable salmon sandpiper sardine seal sequoia shark sheep shrew shrike skylark
sloth snail snipe snowdrop sorrel sparrow spruce squid squirrel starling stork sturgeon sunflower
swallow swan swift sycamore tamarin tansy tapir teal tern thistle thrush thyme tiger toad tortoise
toucan trout tulip tuna turtle veery vervain viper vole vulture wagtail walnut walrus warbler
weasel whale willow wisteria wolf wombat woodcock woodpecker wren yak yarrow yew zebra zinnia
""".split()
