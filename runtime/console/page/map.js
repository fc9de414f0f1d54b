/** @import { OverviewJson as Overview, ReachedModuleJson as ReachedModule } from "../answers.ts" */

/**
 * A box of the map, by its centre.
 *
 * @typedef {{ module: string, x: number, y: number }} Box
 */

export const size = { width: 780, height: 324, box: { width: 186, height: 66 } }

/**
 * Positions at which no line of these modules crosses another.
 *
 * @type {Readonly<Record<string, { x: number, y: number }>>}
 */
const places = {
  user: { x: 102, y: 162 },
  order: { x: 390, y: 162 },
  payment: { x: 678, y: 162 },
  inventory: { x: 534, y: 40 },
  notification: { x: 390, y: 284 },
}

/**
 * Where each module stands; those without a place stand in a row below.
 *
 * @param {ReadonlyArray<string>} modules
 * @returns {ReadonlyArray<Box>}
 */
export const boxesOf = (modules) => {
  const others = modules.filter((module) => !Object.hasOwn(places, module))
  return modules.map((module) => {
    const { x, y } = places[module] ?? {
      x: ((others.indexOf(module) + 0.5) * size.width) / others.length,
      y: size.height + 44,
    }
    return { module, x, y }
  })
}

/**
 * A line of the map: what two modules publish to each other.
 *
 * @typedef {{ from: string, to: string, topics: ReadonlyArray<string>, both: boolean, perSecond: number | undefined,
 *   lag: number }} Edge
 */

/**
 * What this page has last seen of each module: the lines of one that is unreachable now stay on the map.
 *
 * @type {Map<string, ReachedModule>}
 */
const seen = new Map()

/**
 * The lines between modules, one for each pair, with the rate at which both publish and the greatest lag.
 *
 * @param {Overview} overview
 * @returns {ReadonlyArray<Edge>}
 */
export const edgesOf = (overview) => {
  for (const module of overview.modules) if (module.state !== "unreachable") seen.set(module.module, module)
  const known = overview.modules.flatMap((module) =>
    module.state !== "unreachable" ? [module] : asStill(seen.get(module.module)),
  )
  return known.flatMap((a, at) =>
    known.slice(at + 1).flatMap((b) => {
      const there = a.publishes.filter((topic) => b.reacts.includes(topic))
      const back = b.publishes.filter((topic) => a.reacts.includes(topic))
      if (there.length + back.length === 0) return []
      const [from, to] = there.length > 0 ? [a, b] : [b, a]
      return [
        {
          from: from.module,
          to: to.module,
          topics: [...there, ...back],
          both: there.length > 0 && back.length > 0,
          perSecond: sumOf([...there.map((topic) => rateOf(a, topic)), ...back.map((topic) => rateOf(b, topic))]),
          lag: Math.max(0, ...there.map((topic) => lagOf(b, topic) ?? 0), ...back.map((topic) => lagOf(a, topic) ?? 0)),
        },
      ]
    }),
  )
}

/** @param {ReachedModule | undefined} module @returns {ReadonlyArray<ReachedModule>} */
const asStill = (module) =>
  module === undefined
    ? []
    : [{ ...module, consumers: null, rates: { published_per_s: null, applied_per_s: null, topics: [] } }]

/** @param {ReadonlyArray<number | undefined>} rates */
const sumOf = (rates) => {
  const known = rates.filter((rate) => rate !== undefined)
  return known.length === 0 ? undefined : known.reduce((sum, rate) => sum + rate, 0)
}

/**
 * How many records of a topic a module publishes a second; undefined before the second look.
 *
 * @param {ReachedModule} module
 * @param {string} topic
 */
export const rateOf = ({ rates }, topic) =>
  rates.topics.find((one) => one.topic === topic)?.published_per_s ?? undefined

/**
 * How far a module is behind in a topic.
 *
 * @param {ReachedModule} module
 * @param {string} topic
 */
export const lagOf = ({ consumers }, topic) => consumers?.find((one) => one.topic === topic)?.lag

/**
 * Where the line between two boxes leaves the first.
 *
 * @param {Box} from
 * @param {Box} to
 */
export const borderOf = (from, to) => {
  const dx = to.x - from.x
  const dy = to.y - from.y
  const share = Math.min(
    dx === 0 ? Infinity : (size.box.width / 2 + 4) / Math.abs(dx),
    dy === 0 ? Infinity : (size.box.height / 2 + 4) / Math.abs(dy),
  )
  return { x: from.x + dx * share, y: from.y + dy * share }
}

/** @param {number} perSecond */
export const rateText = (perSecond) =>
  `${perSecond < 10 ? perSecond.toFixed(1).replace(/\.0$/u, "") : Math.round(perSecond)}/s`
