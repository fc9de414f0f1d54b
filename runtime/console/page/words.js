import { clockOf, exactOf, spanOf } from "./time.js"

/**
 * @import {
 *   ActionJson as Action, CauseGroupJson as CauseGroup, DeadLetterJson as DeadLetter, FaultSwitchJson as FaultSwitch, OperationJson as Operation,
 *   OverviewJson as Overview, ReachedModuleJson as ReachedModule, ReactionDeliveryJson as Delivery, WaitJson as Wait,
 * } from "../answers.ts"
 */

/**
 * How a state looks: its mark, its colour, its word.
 *
 * @typedef {"ok" | "wait" | "retry" | "dead" | "ended"} Tone
 * @typedef {{ mark: string, tone: Tone, word: string }} State
 */

/** @type {Readonly<Record<string, State>>} */
export const states = {
  applied: { mark: "●", tone: "ok", word: "applied" },
  pending: { mark: "◌", tone: "ended", word: "not yet" },
  waiting: { mark: "◔", tone: "wait", word: "waits" },
  retrying: { mark: "↻", tone: "retry", word: "retrying" },
  parked: { mark: "■", tone: "dead", word: "parked" },
  resolved: { mark: "✓", tone: "ok", word: "resolved" },
  redriven: { mark: "✓", tone: "ok", word: "redriven" },
  discarded: { mark: "✕", tone: "ended", word: "discarded" },
  unsent: { mark: "◇", tone: "wait", word: "unsent" },
  unreachable: { mark: "▲", tone: "dead", word: "unreachable" },
  unknown: { mark: "?", tone: "ended", word: "unknown" },
  forgotten: { mark: "░", tone: "ended", word: "no longer on the log" },
  ready: { mark: "●", tone: "ok", word: "ready" },
  degraded: { mark: "◔", tone: "wait", word: "degraded" },
  starting: { mark: "◌", tone: "ended", word: "starting" },
  stopping: { mark: "◌", tone: "ended", word: "stopping" },
  unavailable: { mark: "▲", tone: "dead", word: "unavailable" },
  created: { mark: "◔", tone: "wait", word: "created" },
  paid: { mark: "◔", tone: "wait", word: "paid" },
  processed: { mark: "●", tone: "ok", word: "processed" },
  failed: { mark: "✕", tone: "ended", word: "failed" },
  cancelled: { mark: "✕", tone: "ended", word: "cancelled" },
}

/**
 * @param {string} name
 * @returns {State}
 */
export const stateOf = (name) => states[name] ?? { mark: "?", tone: "ended", word: name }

const numbers = new Intl.NumberFormat("en-US")

/** @param {number} count */
export const numberOf = (count) => numbers.format(count)

/**
 * "1 event", "2 events", "100,000+ events".
 *
 * @param {number} count
 * @param {string} noun
 * @param {boolean} [isCapped]
 */
export const countOf = (count, noun, isCapped = false) =>
  `${numberOf(count)}${isCapped ? "+" : ""} ${noun}${count === 1 && !isCapped ? "" : "s"}`

/** @param {number} count @param {string} one @param {string} many */
const verb = (count, one, many) => (count === 1 ? one : many)

/**
 * "since 12:02:50 (2 min)".
 *
 * @param {string} at
 * @param {number} now
 */
export const sinceOf = (at, now) => `since ${clockOf(Date.parse(at), now)} (${spanOf(now - Date.parse(at))})`

/**
 * The sentence that explains a delivery.
 *
 * @param {Pick<Delivery, "status" | "module" | "reaction" | "at" | "attempts">} delivery
 * @param {{ now: number, writtenAt: number }} times
 */
export const deliverySentence = ({ status, module, reaction, at, attempts }, { now, writtenAt }) => {
  const clock = at === null ? "" : clockOf(Date.parse(at), now)
  switch (status) {
    case "applied":
      return at === null
        ? "Took effect here once."
        : `Took effect here once, ${exactOf(Math.max(0, Date.parse(at) - writtenAt))} after it was written.`
    case "pending":
      return `On the log; ${module} has not taken charge of it.`
    case "waiting":
      return "Waits behind an earlier event of the same key; follows when that one ends."
    case "retrying":
      return `Attempt ${attempts} failed; it is retried.`
    case "parked":
      return `Waits for a person${clock === "" ? "" : ` since ${clock}`}.`
    case "resolved":
      return `Took effect by itself after ${countOf(attempts, "attempt")}.`
    case "redriven":
      return "Took effect after a redrive."
    case "discarded":
      return "Given up: never takes effect; the key went on."
    case "unknown":
      return `${module} could not be asked.`
    default:
      return reaction
  }
}

/** @type {Readonly<Record<Wait["kind"], readonly [one: string, many: string]>>} */
const nouns = {
  unsent: ["event", "events"],
  lag: ["record", "records"],
  order: ["order", "orders"],
  charge: ["charge", "charges"],
  refund: ["refund", "refunds"],
  mail: ["mail", "mails"],
}

/**
 * @param {Wait} wait
 * @param {number} now
 */
export const waitSentence = ({ kind, module, count, capped, oldest_at, why }, now) => {
  const number = `${numberOf(count)}${capped ? "+" : ""}`
  const noun = nouns[kind][count === 1 && !capped ? 0 : 1]
  const since = oldest_at === null ? "" : ` ${sinceOf(oldest_at, now)}`
  const is = verb(count, "is", "are")
  if (kind === "unsent") return `${number} ${noun} of ${module} ${is} unsent${since}: ${why}.`
  if (kind === "lag") return `${module} is ${number} ${noun} behind${since}: ${why}.`
  return `${number} ${noun} ${verb(count, "waits", "wait")} for ${module}${since}: ${why}.`
}

/**
 * The error of a group, or its kind where no text is known.
 *
 * @param {Pick<CauseGroup, "error" | "reason">} group
 */
export const errorOf = ({ error, reason }) => error?.split("\n")[0] ?? reason ?? "unknown cause"

/**
 * One thing that is stuck, as the overview shows it.
 *
 * @typedef {{
 *   key: string,
 *   mark: string,
 *   tone: Tone,
 *   text: string,
 *   hint?: string,
 *   group?: CauseGroup,
 *   orders: ReadonlyArray<string>,
 * }} Stuck
 */

/**
 * What is stuck, the worst first: unreachable modules, an unavailable log or database, parked events, what waits, what
 * is retried.
 *
 * @param {Overview} overview
 * @param {ReadonlyArray<CauseGroup> | undefined} groups undefined while the causes are not known
 * @param {ReadonlyArray<Action>} actions what operators did, the newest first
 * @param {number} now
 * @returns {ReadonlyArray<Stuck>}
 */
export const stuckOf = (overview, groups, actions, now) => {
  const reached = overview.modules.filter((module) => module.state !== "unreachable")
  return [
    ...overview.modules.flatMap((module) => (module.state === "unreachable" ? [unreachableOf(module, now)] : [])),
    ...faultsOf(reached),
    ...(groups === undefined ? reached.flatMap(deadLettersOf) : []),
    ...(groups ?? []).filter(({ status }) => status === "parked").map((group) => groupOf(group, reached, actions, now)),
    ...[...overview.waits]
      .sort((a, b) => rankOf(a) - rankOf(b))
      .map((wait) => ({
        key: `wait ${wait.kind} ${wait.module} ${wait.why}`,
        mark: wait.kind === "unsent" ? "◇" : "◔",
        tone: /** @type {Tone} */ ("wait"),
        text: waitSentence(wait, now),
        orders: wait.sample,
      })),
    ...(groups ?? [])
      .filter(({ status }) => status === "retrying")
      .map((group) => groupOf(group, reached, actions, now)),
  ]
}

/**
 * The dead letters of a module, without their causes.
 *
 * @param {ReachedModule} module
 * @returns {ReadonlyArray<Stuck>}
 */
const deadLettersOf = ({ module, dead_letters }) =>
  /** @type {const} */ (["parked", "retrying"]).flatMap((status) => {
    const count = dead_letters?.[status] ?? 0
    const does = status === "parked" ? "parked" : "retried"
    const text = `${countOf(count, "event")} ${verb(count, "is", "are")} ${does} in ${module}.`
    return count === 0 ? [] : [{ key: `${module} ${status}`, ...stateOf(status), text, orders: [] }]
  })

/** @param {Wait} wait */
const rankOf = ({ kind }) => (kind === "unsent" ? 0 : kind === "lag" ? 2 : 1)

/**
 * @param {{ module: string, since: string, why: string }} module
 * @param {number} now
 * @returns {Stuck}
 */
const unreachableOf = ({ module, since, why }, now) => ({
  key: `unreachable ${module}`,
  mark: "▲",
  tone: "dead",
  text: `${module} is unreachable ${sinceOf(since, now)}: ${why}. What it holds is not counted below.`,
  orders: [],
})

/**
 * The checks that fail, each once: a log that is away is away for every module.
 *
 * @param {ReadonlyArray<ReachedModule>} modules
 * @returns {ReadonlyArray<Stuck>}
 */
const faultsOf = (modules) => {
  /** @type {Map<string, string>} */
  const faults = new Map()
  for (const { checks } of modules) {
    for (const [name, fault] of Object.entries(checks)) if (fault !== "ok") faults.set(name, fault)
  }
  return Array.from(faults, ([name, fault]) => ({
    key: `check ${name}`,
    mark: "▲",
    tone: "dead",
    text: `${checkNameOf(name)}: ${fault}.`,
    orders: [],
  }))
}

/** @type {Readonly<Record<string, (module: string) => string>>} */
const checkNames = {
  events: () => "The event log is away",
  database: (module) => `The database of ${module} is away`,
  consumer: (module) => `The consumer of ${module} stands still`,
  relay: (module) => `The relay of ${module} does not send`,
  records: (module) => `Records of ${module} cannot be read`,
  tasks: (module) => `The tasks of ${module} stand still`,
  payment_provider: () => "The payment provider is away",
}

/** @param {string} name */
const checkNameOf = (name) => {
  const [kind = "", module = ""] = name.split(".")
  return checkNames[kind]?.(module) ?? `The check ${name} fails`
}

/**
 * @param {CauseGroup} group
 * @param {ReadonlyArray<ReachedModule>} modules
 * @param {ReadonlyArray<Action>} actions
 * @param {number} now
 * @returns {Stuck}
 */
const groupOf = (group, modules, actions, now) => {
  const { count, capped, reaction, status, waiting } = group
  const events = countOf(count, "event", capped)
  const is = verb(count, "is", "are")
  const behind = waiting === 0 ? "" : ` ${countOf(waiting, "event")} ${verb(waiting, "waits", "wait")} behind.`
  const does = status === "parked" ? `parked in ${reaction}` : `retried in ${reaction}`
  return {
    key: `group ${status} ${group.module} ${group.cause}`,
    ...stateOf(status),
    text: `${events} ${is} ${does}: ${errorOf(group)}.${behind}`,
    hint: beganOf(group, modules, actions, now),
    group,
    orders: [],
  }
}

/** A failure that began this long after a start may well come from the new release. */
const soonAfter = 15 * 60_000

/**
 * When failures of one cause began, how long after the start of which release, and after what an operator did.
 *
 * @param {Pick<CauseGroup, "first_failed_at" | "module">} group
 * @param {ReadonlyArray<ReachedModule>} modules
 * @param {ReadonlyArray<Action>} actions the newest first
 * @param {number} now
 */
export const beganOf = ({ first_failed_at, module }, modules, actions, now) => {
  if (first_failed_at === null) return ""
  const began = Date.parse(first_failed_at)
  const own = modules.find((one) => one.module === module)
  const after = own === undefined ? -1 : began - Date.parse(own.started_at)
  const release =
    own !== undefined && after >= 0 && after < soonAfter
      ? `, ${exactOf(after)} after ${module} started (release ${own.release})`
      : ""
  const last = actions.find(({ at, action }) => Date.parse(at) <= began && !/^(?:show|sign in)/u.test(action))
  const since = last === undefined ? Infinity : began - Date.parse(last.at)
  const change =
    last !== undefined && since < soonAfter
      ? `, ${exactOf(since)} after ${last.actor} did: ${last.action} ${last.target}`
      : ""
  return `first ${clockOf(began, now)}${release}${change}`
}

/** Counts of dead letters end here. */
const mostDeadLetters = 100_000

/** @param {Overview} overview */
export const summaryOf = (overview) => {
  const reached = overview.modules.filter((module) => module.state !== "unreachable")
  const parked = reached.reduce((sum, { dead_letters }) => sum + (dead_letters?.parked ?? 0), 0)
  const retrying = reached.reduce((sum, { dead_letters }) => sum + (dead_letters?.retrying ?? 0), 0)
  return {
    events: parked + retrying,
    parked,
    isCapped: parked >= mostDeadLetters || retrying >= mostDeadLetters,
    away: overview.modules.length - reached.length,
    waits: overview.waits.filter(({ kind }) => kind !== "lag").length,
    faults: faultsOf(reached).length,
  }
}

/**
 * The first line of every view.
 *
 * @param {ReturnType<typeof summaryOf>} summary
 * @returns {{ mark: string, tone: Tone, text: string }}
 */
export const verdictOf = ({ events, parked, away, waits, faults, isCapped }) => {
  const parts = [
    ...(events > 0 ? [`${countOf(events, "event", isCapped)} ${verb(events, "is", "are")} stuck`] : []),
    ...(away > 0 ? [`${countOf(away, "module")} ${verb(away, "is", "are")} unreachable`] : []),
    ...(faults > 0 ? [`${countOf(faults, "check")} ${verb(faults, "fails", "fail")}`] : []),
  ]
  if (parts.length === 0) {
    return waits === 0
      ? { mark: "●", tone: "ok", text: "Nothing is stuck." }
      : { mark: "◔", tone: "wait", text: "Nothing is stuck; some orders wait." }
  }
  const mark = parked > 0 ? "■" : away + faults > 0 ? "▲" : "↻"
  return { mark, tone: mark === "↻" ? "retry" : "dead", text: `${listOf(parts)}.` }
}

/** @param {ReadonlyArray<string>} parts */
const listOf = (parts) => (parts.length < 2 ? (parts[0] ?? "") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`)

/**
 * The title of the tab.
 *
 * @param {ReturnType<typeof summaryOf>} summary
 */
export const titleOf = ({ events, away, isCapped }) => {
  if (events > 0) return `■ ${numberOf(events)}${isCapped ? "+" : ""} stuck · Galleria`
  return away > 0 ? `▲ ${away} unreachable · Galleria` : "Galleria"
}

/**
 * What a dialog says before a change.
 *
 * @param {{ kind: "redrive" | "discard" | "edit", letter: Pick<DeadLetter, "reaction" | "waiting" | "order_id"> }} change
 */
export const changeOneOf = ({ kind, letter }) => {
  const { reaction, waiting, order_id } = letter
  const behind = countOf(waiting, "event")
  switch (kind) {
    case "redrive":
      return `Runs ${reaction} on this event now, with all its attempts.${
        waiting === 0
          ? ""
          : ` If it takes effect, the ${behind} behind it ${verb(waiting, "follows", "follow")} in their order.`
      }`
    case "edit":
      return "Runs it with your data instead. The original stays beside it. It is your data for every later reader of this entry."
    case "discard":
      return `It will never take effect in ${reaction}. This cannot be undone.${
        waiting === 0 ? "" : ` The ${behind} behind it ${verb(waiting, "goes", "go")} on without it.`
      }${order_id === undefined ? "" : ` Order ${order_id} may stay “created”: cancel it if nothing else comes.`}`
  }
}

/**
 * @param {{ kind: "redrive" | "discard", count: number, capped?: boolean, until?: string, hasCause?: boolean, now: number }} change
 *   without `until` those that were selected by hand
 */
export const changeManyOf = ({ kind, count, capped = false, until, hasCause = false, now }) => {
  const events = countOf(count, "event", capped)
  const which =
    until === undefined
      ? "that you selected"
      : `that failed until ${clockOf(Date.parse(until), now)}${hasCause ? " with this cause" : ""}`
  const later = until === undefined ? "" : " Later failures are not included."
  return kind === "redrive"
    ? `Runs ${events} again ${which}. Events of one key keep their order.${later}`
    : `${events} ${which} will never take effect. This cannot be undone. The events behind them go on without them. Their orders may stay “created”.${later}`
}

/**
 * What a bulk change has come to.
 *
 * @param {{ kind: "redrive" | "discard", done: number, ended: boolean, stopped?: string | undefined, expected: number,
 *   counts?: Operation["counts"] | undefined }} progress
 */
export const progressOf = ({ kind, done, ended, stopped, expected, counts }) => {
  const name = kind === "redrive" ? "Redrive" : "Discard"
  if (stopped !== undefined) return `${name} stopped after ${numberOf(done)} of ${numberOf(expected)}: ${stopped}.`
  if (!ended) return `${name}: ${numberOf(done)} of ${numberOf(expected)} so far…`
  if (done === 0) return `${name}: nothing changed. They had already ended.`
  if (kind === "discard") return `Discarded ${countOf(done, "event")}.${missed(expected, done)}`
  if (counts === undefined) return `Redrive of ${numberOf(done)}: they are tried now.${missed(expected, done)}`
  const again = counts.retrying + counts.parked
  const parts = [
    ...(counts.applied > 0 ? [`${numberOf(counts.applied)} took effect`] : []),
    ...(counts.waiting > 0
      ? [`${numberOf(counts.waiting)} ${verb(counts.waiting, "waits its turn", "wait their turn")}`]
      : []),
    ...(again > 0 ? [`${numberOf(again)} failed again`] : []),
    ...(counts.discarded > 0 ? [`${numberOf(counts.discarded)} discarded`] : []),
  ]
  return `Redrive of ${numberOf(done)}: ${parts.join(", ") || "they are tried now"}.${missed(expected, done)}`
}

/** @param {number} expected @param {number} done */
const missed = (expected, done) => (expected > done ? ` ${numberOf(expected - done)} had already ended.` : "")

/**
 * What a redrive or discard of one dead letter changed.
 *
 * @param {"redrive" | "discard" | "edit"} kind
 * @param {Pick<DeadLetter, "status" | "ended_at">} before
 * @param {Pick<DeadLetter, "status" | "ended_at">} after
 * @param {number} now
 */
export const changedOneOf = (kind, before, after, now) => {
  const hadEnded = before.status !== "retrying" && before.status !== "parked"
  if (hadEnded || (kind === "discard" && after.status !== "discarded")) {
    const at = after.ended_at == null ? "" : ` at ${clockOf(Date.parse(after.ended_at), now)}`
    return `Nothing changed: it had ended as ${after.status}${at}.`
  }
  return kind === "discard" ? "Discarded: the key goes on." : "Redriven: it is tried now."
}

/**
 * What a fault does while it is on.
 *
 * @param {string} name
 */
export const faultEffect = (name) => {
  const [kind, ...rest] = name.split(".")
  const which = rest.join(".")
  switch (kind) {
    case "relay":
      return `the outbox of ${which} is not sent`
    case "reaction":
      return `${which} fails`
    case "provider":
      return "the payment provider does not answer"
    case "mail":
      return "the mail server does not answer"
    case "events":
      return "the event log cannot be reached"
    default:
      return `${name} fails`
  }
}

/**
 * @param {FaultSwitch} fault
 * @param {number} now
 */
export const faultSentence = ({ name, since, user_id }, now) =>
  `Fault on: ${faultEffect(name)}${user_id === undefined ? "" : ` for user ${user_id}`}${
    since === null ? "" : ` since ${clockOf(Date.parse(since), now)}`
  }.`

/** @param {string} name */
export const faultWarning = (name) => `Until you switch it off or the process ends, ${faultEffect(name)}.`
