import type { End, Lag } from "../../events/EventBus.ts"
import { partitionName } from "../../events/EventBus.ts"
import { lagOf } from "../../delivery/positionInLog.ts"
import type { StoredPosition } from "../../delivery/positionTable.ts"
import { type WaitingOrders, mostWaiting } from "../../module/Journey.ts"
import { mostPending } from "../../outbox/outboxTable.ts"
import type { StuckTasks } from "../../tasks/taskTable.ts"
import type { ReachedModule, Wait } from "./Overview.ts"

/** A module at one moment. What could not be read is undefined. */
export interface ModuleLook {
  readonly module: string
  readonly publishes: ReadonlyArray<string>
  readonly reacts: ReadonlyArray<string>
  readonly checks: ReadonlyArray<{
    readonly name: string
    readonly needed: boolean
    readonly fault: string | undefined
  }>
  readonly outbox: { readonly pending: number; readonly oldest: Date | null } | undefined
  readonly deadLetters: { readonly retrying: number; readonly parked: number; readonly waiting: number } | undefined
  readonly positions: ReadonlyArray<StoredPosition> | undefined
  readonly stuck: ReadonlyArray<StuckTasks & { readonly kind: "charge" | "refund" | "mail"; readonly ofOrder: boolean }>
  readonly waiting: ReadonlyArray<WaitingOrders>
}

/** All modules, and the ends of the log, at one moment. */
export interface Look {
  readonly at: number
  readonly state: "starting" | "running" | "stopping"
  readonly ends: ReadonlyArray<End> | undefined
  readonly modules: ReadonlyArray<ModuleLook>
}

/** The state of a module by its checks. */
export const stateOf = (state: Look["state"], checks: ModuleLook["checks"]): typeof ReachedModule.Type.state => {
  if (state !== "running") return state
  const faulty = checks.filter(({ fault }) => fault !== undefined)
  return faulty.length === 0 ? "ready" : faulty.some(({ needed }) => needed) ? "unavailable" : "degraded"
}

/** How much a sum has grown in a second; null when one of the sums is not known. A sum that shrank has not grown. */
const growth = (now: number | undefined, before: number | undefined, millis: number): number | null =>
  now === undefined || before === undefined || millis <= 0
    ? null
    : Math.round((Math.max(0, now - before) / millis) * 10_000) / 10

/** How many records a topic has ever had. */
const recordsOf = (ends: ReadonlyArray<End> | undefined, topic: string): number | undefined =>
  ends?.filter((end) => end.topic === topic).reduce((sum, { next }) => sum + next, 0)

/** How many records of a topic every reaction of a module has taken charge of. */
const takenOf = (positions: ReadonlyArray<StoredPosition> | undefined, topic: string): number | undefined => {
  if (positions === undefined) return undefined
  const least = new Map<string, number>()
  for (const position of positions.filter((one) => one.topic === topic)) {
    const name = partitionName(position)
    least.set(name, Math.min(least.get(name) ?? Number.POSITIVE_INFINITY, Math.max(position.next, 0)))
  }
  return [...least.values()].reduce((sum, next) => sum + next, 0)
}

/** The sum of rates; null when one is not known. */
const total = (rates: ReadonlyArray<number | null>): number | null =>
  rates.includes(null) ? null : Math.round(rates.reduce<number>((sum, rate) => sum + rate!, 0) * 10) / 10

const lagOfTopic = (lags: ReadonlyArray<Lag>, topic: string) =>
  lags.filter((lag) => lag.topic === topic).reduce((sum, { records }) => sum + records, 0)

type Shown = typeof ReachedModule.Type

/** A module of the overview. `before`: an earlier look, from which the rates are. */
export const shownOf = (
  own: ModuleLook,
  look: Look,
  before: Look | undefined,
): Omit<Shown, "release" | "started_at"> => {
  const { module, publishes, reacts, checks, outbox, deadLetters, positions } = own
  const millis = before === undefined ? 0 : look.at - before.at
  const earlier = before?.modules.find((one) => one.module === module)
  const lags = look.ends === undefined || positions === undefined ? undefined : lagOf(look.ends, positions)
  const consumers = reacts.map((topic) => ({
    topic,
    lag: lags === undefined ? 0 : lagOfTopic(lags, topic),
    applied_per_s: growth(takenOf(positions, topic), takenOf(earlier?.positions, topic), millis),
  }))
  const topics = publishes.map((topic) => ({
    topic,
    published_per_s: growth(recordsOf(look.ends, topic), recordsOf(before?.ends, topic), millis),
  }))
  return {
    module,
    state: stateOf(look.state, checks),
    publishes,
    reacts,
    checks: Object.fromEntries(checks.map(({ name, fault }) => [name, fault ?? "ok"])),
    outbox:
      outbox === undefined ? null : { pending: outbox.pending, oldest_age_seconds: ageOf(outbox.oldest, look.at) },
    consumers: lags === undefined ? null : consumers,
    dead_letters: deadLetters ?? null,
    rates: {
      published_per_s: total(topics.map(({ published_per_s }) => published_per_s)),
      applied_per_s: total(consumers.map(({ applied_per_s }) => applied_per_s)),
      topics,
    },
  }
}

const ageOf = (since: Date | null, now: number) =>
  since === null ? 0 : Math.max(0, Math.round(now - since.getTime()) / 1_000)

/** Events that have been in the outbox for longer are late (ms). */
const unsentMillis = 5_000

/** A consumer with fewer records to read is not behind, unless its check says what is wrong. */
const leastLag = 100

/** What waits, the longest first. */
export const waitsOf = (look: Look): ReadonlyArray<Wait> => {
  const waits = look.modules.flatMap((own) => [...unsentOf(own, look), ...lateOf(own, look), ...callsOf(own)])
  // A call that is named says more than that orders wait for its module.
  const named = new Set(waits.filter(({ kind }) => kind === "charge").map(({ module }) => module))
  const orders = look.modules
    .flatMap(({ waiting }) => waiting)
    .filter(({ module }) => !named.has(module))
    .map((one): Wait => ({ kind: "order", ...one, capped: one.count >= mostWaiting }))
  const since = ({ oldest_at }: Wait) => oldest_at?.getTime() ?? Number.POSITIVE_INFINITY
  return [...waits, ...orders].sort((a, b) => since(a) - since(b))
}

const faultIn = ({ checks }: ModuleLook, ...names: ReadonlyArray<string>) =>
  names.map((name) => checks.find((check) => check.name === name)?.fault).find((fault) => fault !== undefined)

const unsentOf = (own: ModuleLook, { at }: Look): ReadonlyArray<Wait> => {
  const { module, outbox } = own
  if (outbox?.oldest == null || at - outbox.oldest.getTime() < unsentMillis) return []
  const why = faultIn(own, "events", `relay.${module}`) ?? "the relay has not sent them yet"
  const capped = outbox.pending >= mostPending
  return [{ kind: "unsent", module, count: outbox.pending, capped, oldest_at: outbox.oldest, why, sample: [] }]
}

const lateOf = (own: ModuleLook, { ends }: Look): ReadonlyArray<Wait> => {
  const { module, positions } = own
  if (ends === undefined || positions === undefined) return []
  const count = lagOf(ends, positions).reduce((sum, { records }) => sum + records, 0)
  const fault = faultIn(own, `consumer.${module}`)
  if (count === 0 || (fault === undefined && count < leastLag)) return []
  const why = fault ?? "it has not taken charge of these records yet"
  return [{ kind: "lag", module, count, capped: false, oldest_at: null, why, sample: [] }]
}

const callsOf = ({ module, stuck }: ModuleLook): ReadonlyArray<Wait> =>
  stuck.map(({ kind, ofOrder, rows, oldest, error, ids }) => ({
    kind,
    module,
    count: rows,
    capped: rows >= mostWaiting,
    oldest_at: oldest,
    why: error ?? "they have been due for more than 5 s",
    sample: ofOrder ? ids : [],
  }))
