import { createHash } from "node:crypto"
import { ofNoReaction } from "./outcome.ts"

const uuid = /\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b/giu
const address = /[^\s"'<>@]+@[^\s"'<>@]+/gu
const quoted = /"[^"]*"|'[^']*'|`[^`]*`/gu

/** More of an error does not distinguish causes. */
const mostCharacters = 200

/** The error without what differs from event to event: ids, addresses, quoted text, numbers. */
const generalOf = (error: string): string =>
  (error.split("\n", 1)[0] ?? "")
    .replace(uuid, "‹id›")
    .replace(quoted, "‹text›")
    .replace(address, "‹e-mail›")
    .replace(/\d+/gu, "#")
    .slice(0, mostCharacters)

/** Names why a dead letter failed: the same for the same reaction, reason and error, apart from what differs by event. */
export const causeOf = (failure: {
  readonly reaction: string
  readonly topic: string
  readonly reason: string
  readonly error: string
}): string => {
  const { reaction, topic, reason, error } = failure
  const where = reaction === ofNoReaction ? `${reaction} ${topic}` : reaction
  return createHash("sha256")
    .update(JSON.stringify([where, reason, generalOf(error)]))
    .digest("hex")
    .slice(0, 16)
}

/** An attempt of a dead letter. `took_ms` is null for the one that made it a dead letter. */
export interface Attempt {
  readonly at: string
  readonly error: string | null
  readonly took_ms: number | null
}

/** The attempts that are kept: the first and the last ones. */
const kept = { first: 5, last: 15 }

/** The log of attempts with another one; in the middle the oldest is dropped. */
export const logged = (log: ReadonlyArray<Attempt> | null, attempt: Attempt): ReadonlyArray<Attempt> => {
  const all = [...(log ?? []), attempt]
  return all.length <= kept.first + kept.last ? all : all.toSpliced(kept.first, all.length - kept.first - kept.last)
}
