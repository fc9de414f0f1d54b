import { Effect } from "effect"
import { uuidV7Unsafe } from "effect/crypto/SecureRandom"
import { mostCounted } from "../delivery/deadLetterTable.ts"
import { mostAtOnce, type Operation } from "../admin/Operation.ts"
import { answeredIn, type RemoteCalls, json, noneOf, notFoundIn, passOn, type Reply } from "./calls.ts"
import type { RemoteCall } from "./processes.ts"

/** What a process answers to a bulk change. */
interface Changed {
  readonly redriven?: number
  readonly discarded?: number
  readonly remaining: number
}

/** The members of a JSON object; none of another body, which the processes refuse. */
const membersOf = (body: string | undefined): Readonly<Record<string, unknown>> => {
  try {
    const value: unknown = JSON.parse(body ?? "{}")
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

/** A text member of a JSON body. */
export const memberOf = (body: string | undefined, name: string): string | undefined => {
  const member = membersOf(body)[name]
  return typeof member === "string" ? member : undefined
}

const isLimit = (limit: unknown): limit is number =>
  Number.isInteger(limit) && Number(limit) >= 0 && Number(limit) <= mostAtOnce

/**
 * Redrives or discards in one process after the other, or in the one of the module in the body, as one operation and up
 * to one limit. Processes that do not answer are left out.
 */
export const changeAllIn =
  (calls: RemoteCalls, result: "redriven" | "discarded") =>
  (call: RemoteCall): Reply =>
    Effect.gen(function* () {
      const { operation = uuidV7Unsafe(), limit = mostAtOnce, ...which } = membersOf(call.body)
      const expected = calls.of(memberOf(call.body, "module"))
      const among = yield* calls.reachable(expected)
      if (among.length === 0 && expected.length > 0) return yield* noneOf(expected)
      // A process refuses a wrong body or limit, and says what is wrong.
      if (!isLimit(limit)) return passOn(yield* calls.one(among[0]!, call))
      let changed = 0
      let remaining = 0
      for (const process of among) {
        const body = JSON.stringify({ ...which, operation, limit: limit - changed })
        const headers = { ...call.headers, "content-type": "application/json" }
        const answer = yield* Effect.result(calls.one(process, { ...call, headers, body }))
        if (answer._tag === "Failure") continue
        if (answer.success.status !== 200) return passOn(answer.success)
        const done = JSON.parse(answer.success.text) as Changed
        changed += done[result] ?? 0
        remaining += done.remaining
      }
      return json({ [result]: changed, remaining: Math.min(remaining, mostCounted), operation })
    })

interface Groups {
  readonly checked_at: string
  readonly items: ReadonlyArray<{ readonly count: number }>
  readonly more: number
}

/** The groups of all processes, or of the one of the module in the query, the largest first. */
export const mergeGroups = (parts: ReadonlyArray<Groups>): Groups => ({
  checked_at: parts.map(({ checked_at }) => checked_at).toSorted()[0]!,
  items: parts.flatMap(({ items }) => items).sort((a, b) => b.count - a.count),
  more: parts.reduce((sum, { more }) => sum + more, 0),
})

export const groupsOver =
  (calls: RemoteCalls) =>
  (call: RemoteCall, module: string | undefined): Reply =>
    Effect.gen(function* () {
      const among = calls.of(module)
      const found = answeredIn(yield* calls.all(call, among))
      if ("refused" in found) return found.refused
      return found.bodies.length === 0 ? yield* noneOf(among) : json(mergeGroups(found.bodies as Array<Groups>))
    })

/** One operation in several processes: its first action, and the counts of all. */
export const mergeOperations = (parts: ReadonlyArray<typeof Operation.Encoded>): typeof Operation.Encoded => {
  const [first] = parts.toSorted((a, b) => (a.started_at < b.started_at ? -1 : 1))
  const counts = { ...first!.counts }
  for (const name of Object.keys(counts) as Array<keyof typeof counts>) {
    counts[name] = parts.reduce((sum, part) => sum + part.counts[name], 0)
  }
  return { ...first!, counts }
}

export const operationOver =
  (calls: RemoteCalls) =>
  (call: RemoteCall): Reply =>
    Effect.gen(function* () {
      const answers = yield* calls.all(call)
      const parts = answers.flatMap(({ answer }) =>
        answer._tag === "Success" && answer.success.status === 200
          ? [JSON.parse(answer.success.text) as typeof Operation.Encoded]
          : [],
      )
      return parts.length === 0 ? yield* notFoundIn(answers) : json(mergeOperations(parts))
    })
