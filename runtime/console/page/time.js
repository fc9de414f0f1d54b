import { makeKept } from "./store.js"

/** "local" or "utc". */
export const zone = makeKept("zone", "local")

const second = 1_000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

/**
 * A span of time, short: "3 s", "2 min", "4 h", "2 days".
 *
 * @param {number} millis
 */
export const spanOf = (millis) => {
  const length = Math.max(0, millis)
  if (length < minute) return `${Math.round(length / second)} s`
  if (length < 2 * hour) return `${Math.floor(length / minute)} min`
  if (length < 2 * day) return `${Math.floor(length / hour)} h`
  return `${Math.floor(length / day)} days`
}

/**
 * The time between two rows of a journey, exact where that says something: "+11 ms", "+2.4 s", "+8 min 14 s". A clock
 * that is behind another shows as a negative one.
 *
 * @param {number} millis
 */
export const deltaOf = (millis) => {
  if (millis < 0) return `−${Math.round(-millis)} ms`
  return `+${exactOf(millis)}`
}

/** @param {number} millis */
export const exactOf = (millis) => {
  if (millis < second) return `${Math.round(millis)} ms`
  if (millis < minute) return `${(millis / second).toFixed(1)} s`
  if (millis < hour) {
    const seconds = Math.floor((millis % minute) / second)
    return `${Math.floor(millis / minute)} min${seconds === 0 ? "" : ` ${seconds} s`}`
  }
  if (millis < day) return `${Math.floor(millis / hour)} h ${Math.floor((millis % hour) / minute)} min`
  return `${Math.floor(millis / day)} days`
}

/** @param {number} number @param {number} length */
const padded = (number, length = 2) => String(number).padStart(length, "0")

/**
 * @param {number} at
 * @param {boolean} isUtc
 */
const partsOf = (at, isUtc) => {
  const date = new Date(at)
  return isUtc
    ? {
        day: `${date.getUTCFullYear()}-${padded(date.getUTCMonth() + 1)}-${padded(date.getUTCDate())}`,
        clock: `${padded(date.getUTCHours())}:${padded(date.getUTCMinutes())}:${padded(date.getUTCSeconds())}`,
        millis: padded(date.getUTCMilliseconds(), 3),
      }
    : {
        day: `${date.getFullYear()}-${padded(date.getMonth() + 1)}-${padded(date.getDate())}`,
        clock: `${padded(date.getHours())}:${padded(date.getMinutes())}:${padded(date.getSeconds())}`,
        millis: padded(date.getMilliseconds(), 3),
      }
}

/**
 * The time of day, with the date when it is another day than `now`.
 *
 * @param {number} at
 * @param {number} now
 * @param {boolean} isUtc
 */
export const clockOf = (at, now, isUtc = zone.get() === "utc") => {
  const parts = partsOf(at, isUtc)
  return parts.day === partsOf(now, isUtc).day ? parts.clock : `${parts.day} ${parts.clock}`
}

/**
 * To the millisecond, with date and zone.
 *
 * @param {number} at
 * @param {boolean} isUtc
 */
export const exactTimeOf = (at, isUtc = zone.get() === "utc") => {
  const { day, clock, millis } = partsOf(at, isUtc)
  return `${day} ${clock}.${millis} ${isUtc ? "UTC" : zoneName()}`
}

/**
 * The time of day to the millisecond, as in the rows of a journey.
 *
 * @param {number} at
 * @param {boolean} isUtc
 */
export const preciseClockOf = (at, isUtc = zone.get() === "utc") => {
  const { clock, millis } = partsOf(at, isUtc)
  return `${clock}.${millis}`
}

export const zoneName = () => Intl.DateTimeFormat().resolvedOptions().timeZone
