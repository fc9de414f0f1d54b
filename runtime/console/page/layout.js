import { exactOf } from "./time.js"
import { deliverySentence } from "./words.js"

/** @import { JourneyEventJson as JourneyEvent, OrderJourneyJson as Journey } from "../answers.ts" */

/**
 * What happened in one module at one time.
 *
 * @typedef {{ state: string, mark?: string, text: string, title: string, event?: string, deadLetter?: string }} Cell
 *
 * @typedef {{ kind: "row", key: string, at: number, delta: number | undefined, cells: Readonly<Record<string, Cell>>,
 *   log?: string, event?: string }} Row
 * @typedef {{ kind: "gap", key: string, millis: number }} Gap
 * @typedef {{ kind: "open", key: string, module: string, state: string, text: string, deadLetter?: string }} Open
 *
 * @typedef {{ lanes: ReadonlyArray<string>, rows: ReadonlyArray<Row | Gap>, open: ReadonlyArray<Open>, isFinished: boolean,
 *   away: ReadonlySet<string> }} Layout
 */

const known = ["user", "order", "payment", "inventory", "notification"]

/** What reactions in several modules do within this time is one row; an event has a row of its own. */
const sameRow = 15

/** A longer time without anything is folded. */
const quiet = 10_000

/** @typedef {{ at: number, module: string, cell: Cell, log?: string, event?: string, isEvent: boolean }} Mark */

/**
 * A journey as rows of time and lanes of modules: the oldest row first, what is still open at the end.
 *
 * @param {Journey} journey
 * @param {number} now
 * @param {{ isFolded: boolean }} options
 * @returns {Layout}
 */
export const layoutOf = (journey, now, { isFolded }) => {
  const marks = [...journey.events.flatMap((event) => marksOfEvent(event, now)), ...journey.steps.flatMap(marksOfStep)]
  // Events of one time come before what they caused; otherwise the order of the answer stays.
  marks.sort((a, b) => a.at - b.at || Number(b.isEvent) - Number(a.isEvent))
  const rows = rowsOf(marks)
  const open = openOf(journey)
  return {
    lanes: lanesOf(journey),
    rows: isFolded ? withGaps(rows) : rows,
    open,
    isFinished: open.length === 0 && ["processed", "failed", "cancelled"].includes(journey.order?.status ?? ""),
    away: new Set(journey.gaps.flatMap(({ module }) => (module === undefined ? [] : [module]))),
  }
}

/**
 * What is missing of a journey, one sentence for each reason.
 *
 * @param {Journey["gaps"]} gaps
 */
export const gapsByReason = (gaps) => {
  /** @type {Map<string, Array<string>>} */
  const places = new Map()
  for (const { module, topic, why } of gaps) places.set(why, [...(places.get(why) ?? []), module ?? topic ?? ""])
  return Array.from(places, ([why, names]) => {
    const known = names.filter((name) => name !== "")
    return known.length === 0 ? why : `${known.join(", ")}: ${why}`
  })
}

/** @param {Journey} journey */
const lanesOf = ({ events, steps, unsent, gaps }) => {
  const found = new Set([
    ...events.flatMap(({ module, deliveries }) => [module ?? "other", ...deliveries.map((one) => one.module)]),
    ...[...steps, ...unsent, ...gaps].flatMap(({ module }) => module ?? []),
  ])
  return [...known, ...[...found].filter((module) => !known.includes(module)).sort()]
}

/**
 * @param {JourneyEvent} event
 * @param {number} now
 * @returns {ReadonlyArray<Mark>}
 */
const marksOfEvent = ({ module, partition, offset, time, event, deliveries }, now) => {
  const writtenAt = Date.parse(time)
  const isOnLog = partition !== null && offset !== null
  const written = {
    at: writtenAt,
    module: module ?? "other",
    cell: {
      state: isOnLog ? "applied" : "forgotten",
      mark: isOnLog ? "◆" : "░",
      text: event.type,
      title: isOnLog
        ? `${event.type} was written and sent.`
        : `${event.type} is no longer on the log; this is from the module's own records.`,
      event: event.id,
    },
    log: isOnLog ? `p${partition}@${offset}` : "",
    event: event.id,
    isEvent: true,
  }
  const taken = deliveries.flatMap((delivery) => {
    if (delivery.at === null || !hasEnded(delivery.status)) return []
    const cell = {
      state: delivery.status,
      text: nameIn(delivery.reaction),
      title: `${delivery.reaction}: ${deliverySentence(delivery, { now, writtenAt })}`,
      event: event.id,
      ...(delivery.dead_letter_id === undefined ? {} : { deadLetter: delivery.dead_letter_id }),
    }
    return [{ at: Date.parse(delivery.at), module: delivery.module, cell, event: event.id, isEvent: false }]
  })
  return [written, ...taken]
}

/** The name of a reaction within its module. @param {string} reaction */
const nameIn = (reaction) => reaction.slice(reaction.indexOf(".") + 1)

/** @param {string} status */
const hasEnded = (status) => ["applied", "resolved", "redriven", "discarded"].includes(status)

/** @type {Readonly<Record<string, string>>} */
const stepMarks = { charge: "⇄", refund: "⇄", hold: "⌂", mail: "✉" }

/** The states of a step that has not ended. */
const going = ["waiting", "due", "called", "retrying", "unknown"]

/**
 * @param {Journey["steps"][number]} step
 * @returns {ReadonlyArray<Mark>}
 */
const marksOfStep = (step) => {
  if (going.includes(step.state)) return []
  const { module, kind, at, state } = step
  return [{ at: Date.parse(at), module, cell: { ...cellOfStep(step), text: `${kind} ${state}` }, isEvent: false }]
}

/** @param {Journey["steps"][number]} step @returns {Cell} */
const cellOfStep = ({ kind, until, state, attempts, why }) => ({
  state: ["failed", "rejected"].includes(state) ? "failed" : going.includes(state) ? "waiting" : "applied",
  mark: stepMarks[kind] ?? "·",
  text: kind,
  title: [
    `${kind}: ${state}`,
    ...(attempts > 0 ? [`${attempts} failed ${attempts === 1 ? "attempt" : "attempts"}`] : []),
    ...(until === undefined ? [] : [`until ${until}`]),
    ...(why === undefined ? [] : [why]),
  ].join(", "),
})

/**
 * @param {ReadonlyArray<Mark>} marks
 * @returns {ReadonlyArray<Row>}
 */
const rowsOf = (marks) => {
  /** @type {Array<Row & { cells: Record<string, Cell> }>} */
  const rows = []
  for (const mark of marks) {
    const row = rows.at(-1)
    const { at, module, cell, event } = mark
    const fits =
      row !== undefined &&
      row.log === undefined &&
      !mark.isEvent &&
      at - row.at <= sameRow &&
      row.cells[module] === undefined
    if (fits) row.cells[module] = cell
    else {
      rows.push({
        kind: "row",
        key: `${at} ${module} ${event ?? ""} ${cell.text}`,
        at,
        delta: row === undefined ? undefined : at - row.at,
        cells: { [module]: cell },
        ...(mark.log === undefined ? {} : { log: mark.log }),
        ...(event === undefined ? {} : { event }),
      })
    }
  }
  return rows
}

/**
 * @param {ReadonlyArray<Row>} rows
 * @returns {ReadonlyArray<Row | Gap>}
 */
const withGaps = (rows) =>
  rows.flatMap((row) =>
    row.delta !== undefined && row.delta > quiet
      ? [{ kind: "gap", key: `gap ${row.key}`, millis: row.delta }, row]
      : [row],
  )

/**
 * What the journey still waits for.
 *
 * @param {Journey} journey
 * @returns {ReadonlyArray<Open>}
 */
const openOf = ({ events, steps, unsent }) => [
  ...unsent.map(({ module, type, age_seconds }, at) => ({
    kind: /** @type {const} */ ("open"),
    key: `unsent ${at}`,
    module,
    state: "unsent",
    text: `${type} was written ${exactOf(age_seconds * 1_000)} ago and is not on the log yet.`,
  })),
  ...events.flatMap(({ event, deliveries }) =>
    deliveries
      .filter(({ status }) => !hasEnded(status))
      .map(({ module, reaction, status, attempts, dead_letter_id }) => ({
        kind: /** @type {const} */ ("open"),
        key: `${event.id} ${reaction}`,
        module,
        state: status,
        text: openSentence({ module, reaction, type: event.type, status, attempts }),
        ...(dead_letter_id === undefined ? {} : { deadLetter: dead_letter_id }),
      })),
  ),
  ...steps
    .filter(({ state }) => going.includes(state))
    .map(({ module, kind, at, state, attempts, why }) => ({
      kind: /** @type {const} */ ("open"),
      key: `${module} ${kind} ${at}`,
      module,
      state: state === "retrying" ? "retrying" : "waiting",
      text: `${module}'s ${kind} is ${state}${attempts > 0 ? ` after ${attempts} failed attempts` : ""}${why === undefined ? "" : `: ${why}`}.`,
    })),
]

/** @param {{ module: string, reaction: string, type: string, status: string, attempts: number }} delivery */
const openSentence = ({ module, reaction, type, status, attempts }) => {
  switch (status) {
    case "pending":
      return `${reaction} has not taken charge of ${type} yet.`
    case "waiting":
      return `${type} waits in ${reaction} behind an earlier event of its key.`
    case "retrying":
      return `${type} is retried in ${reaction} after ${attempts} failed ${attempts === 1 ? "attempt" : "attempts"}.`
    case "parked":
      return `${type} is parked in ${reaction}: it waits for a person.`
    default:
      return `Whether ${type} took effect in ${reaction} is unknown: ${module} could not be asked.`
  }
}

/**
 * Places on a scale of time, in percent, for a journey that is drawn true to it.
 *
 * @param {ReadonlyArray<Row | Gap>} rows
 */
export const scaleOf = (rows) => {
  const times = rows.flatMap((row) => (row.kind === "row" ? [row.at] : []))
  const first = times[0] ?? 0
  const whole = Math.max(1, (times.at(-1) ?? 0) - first)
  return (/** @type {number} */ at) => ((at - first) / whole) * 100
}
