import { BigDecimal } from "effect"
import { type Random, randomOf } from "../harness/shoppers.ts"
import { stock } from "./World.ts"

export const below = (random: Random, most: number) => Math.floor(random() * most)
export const pick = <Item>(random: Random, items: ReadonlyArray<Item>) => items[below(random, items.length)]!

/** How likely each mishap is at each opportunity, in most runs. */
const usual = {
  /** A process reads some records again, as after a commit of offsets that was lost. */
  readAgain: 0.05,
  /** A reaction to a record fails for some seconds. */
  reactionFails: 0.15,
  killBeforeCommit: 0.08,
  killAfterCommit: 0.06,
  killAfterSend: 0.1,
  killBeforeCall: 0.08,
  killBeforeResult: 0.1,
  requestLost: 0.08,
  /** A request without an answer reaches the provider later. */
  requestLate: 0.2,
  answerLost: 0.1,
} as const

export type Chances = Readonly<Record<keyof typeof usual, number>>

/** In one run some mishaps do not occur and some are frequent: together such runs reach more states than similar ones. */
const chancesOf = (random: Random) =>
  Object.fromEntries(
    Object.entries(usual).map(([name, chance]) => [name, chance * pick(random, [0, 0, 1, 1, 3])]),
  ) as unknown as Chances

/** Kinds of steps whose delay the rules of the modules and of DELIVERY.md are about; the rarer their effect, the more often. */
const races = [
  "inventory order_created",
  "inventory payment_successful",
  "inventory payment_successful",
  "payment order_created",
  "payment order_cancelled",
  "order inventory_updated",
  "order retry",
  "order retry",
  "arrive",
  "arrive",
]

/** How often each kind of step is taken, 1 in most cases. Some kinds are slow in a run, so that others overtake them. */
const pacesOf = (random: Random, slowest: string) => {
  const paces = new Map([[slowest, 0.01]])
  return (kind: string): number => {
    const known = paces.get(kind)
    if (known !== undefined) return known
    const dice = random()
    const pace = dice < 0.08 ? 0.03 : dice < 0.16 ? 0.3 : 1
    paces.set(kind, pace)
    return pace
  }
}

/** The cards that the sandbox knows, and one that it does not; those that are charged are the most frequent. */
const tokens = [
  "card_ok",
  "card_ok",
  "card_ok",
  "card_ok",
  "card_slow",
  "card_timeout",
  "card_timeout",
  "card_flaky",
  "card_flaky",
  "card_down",
  "card_declined",
  "card_expired",
  "card_unknown",
]

const stepsOf = (random: Random) => {
  const dice = random()
  return dice < 0.74 ? "payment,inventory" : dice < 0.86 ? "inventory" : dice < 0.96 ? "payment" : "none"
}

const itemsOf = (random: Random) =>
  Object.keys(stock)
    .filter(() => random() < 0.6)
    .map((product_id) => ({
      product_id,
      quantity: random() < 0.7 ? 1 : 2,
      price: BigDecimal.fromStringUnsafe("12.50"),
    }))

/** What one run consists of; the order of its steps is chosen later. */
export const planOf = (seed: number) => {
  const random = randomOf(seed)
  const steps = stepsOf(random)
  /** Payment does not wait for the stock to be held, as in a release without that rule. */
  const isEager = steps === "payment,inventory" && random() < 0.35
  const slowest = isEager && random() < 0.6 ? "inventory order_created" : pick(random, races)
  return {
    random,
    steps,
    isEager,
    chances: chancesOf(random),
    pace: pacesOf(randomOf(below(random, 2 ** 32)), slowest),
    orders: Array.from({ length: 1 + below(random, 3) }, () => ({
      user_id: 1 + below(random, 2),
      payment_method: pick(random, tokens),
      items: itemsOf(random),
      isCancelled: random() < 0.45,
    })),
  }
}

export type Plan = ReturnType<typeof planOf>
