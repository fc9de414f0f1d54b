import { Effect } from "effect"
import { HttpApiBuilder, HttpApiSchema } from "effect/http-api"
import type { Filter } from "../delivery/deadLetterTable.ts"
import type { makeReplay } from "../delivery/replay.ts"
import { Page } from "../http/Page.ts"
import type { Reaction } from "../module/Reaction.ts"
import { api, DeadLetterNotFound, LogNotWhole, ReactionNotFound, ReactionNotResettable, ResetRunning } from "./api.ts"
import type { DeadLetter, DeadLetters } from "./DeadLetters.ts"

/** A module that runs in this process, as operators administer it. */
export interface Administered {
  readonly name: string
  readonly reactions: ReadonlyArray<Reaction<never>>
  readonly deadLetters: DeadLetters["Service"]
  readonly replay: Effect.Success<ReturnType<typeof makeReplay>>
}

/** `/admin/dead-letters` and `/admin/replays` over all modules of the process. */
export const http = (modules: ReadonlyArray<Administered>) =>
  HttpApiBuilder.group(
    api,
    "deadLetters",
    Effect.fnUntraced(function* (handlers) {
      const page = yield* Page
      const deadLetters = deadLettersOf(modules)
      const replays = replaysOf(modules)
      return handlers.handleAll({
        list: ({ query }) => {
          const { module, reaction, status } = query
          const filter: Filter = {
            ...(status === undefined ? {} : { statuses: [status] }),
            ...(reaction === undefined ? {} : { reaction }),
          }
          return page.of({
            list: ["dead letters", module, reaction, status],
            query,
            read: (before, limit) => deadLetters.list(module, filter, before, limit),
            position: ({ id }) => id,
            rowsAtOnce: 16,
          })
        },
        get: ({ params }) => Effect.map(deadLetters.find(params.id), ({ deadLetter }) => deadLetter),
        redrive: ({ params }) => deadLetters.act(params.id, "redrive"),
        discard: ({ params }) => deadLetters.act(params.id, "discard"),
        redriveAll: ({ payload }) => deadLetters.redriveAll(payload ?? {}),
        replay: ({ payload: { reaction, from, reset = false } }) =>
          Effect.map(replays.start(reaction, from?.getTime(), reset), (body) =>
            HttpApiSchema.withHeaders({
              body,
              headers: { location: `/admin/replays/${encodeURIComponent(reaction)}` },
            }),
          ),
        replayed: ({ params }) => replays.stateOf(params.reaction),
      })
    }),
  )

/** The dead letters of all modules. */
const deadLettersOf = (modules: ReadonlyArray<Administered>) => {
  const of = (module: string | undefined) =>
    modules.flatMap(({ name, deadLetters }) => (module === undefined || module === name ? [deadLetters] : []))

  const list = (module: string | undefined, filter: Filter, before: string | undefined, limit: number) =>
    Effect.map(
      Effect.forEach(of(module), (own) => own.list(filter, before, limit)),
      (lists) => newestFirst(lists.flat()).slice(0, limit),
    )

  /** A dead letter, and the dead letters of its module. */
  const find = (id: string) =>
    Effect.gen(function* () {
      for (const own of of(undefined)) {
        const deadLetter = yield* own.find(id)
        if (deadLetter !== undefined) return { deadLetter, own }
      }
      return yield* new DeadLetterNotFound({})
    })

  /** Acts on a dead letter, logs what that changed, and returns the dead letter as it is afterwards. */
  const act = (id: string, action: "redrive" | "discard") =>
    Effect.gen(function* () {
      const { deadLetter, own } = yield* find(id)
      const isChanged = yield* own[action](id)
      const { module, reaction, status } = deadLetter
      yield* Effect.logInfo(
        `An operator asked to ${action} an event of ${reaction}${isChanged ? "" : ", which changed nothing"}`,
      ).pipe(Effect.annotateLogs({ module, dead_letter: id, was: status }))
      // An action that took effect is answered with success, even when the dead letter cannot be read again.
      const now = yield* Effect.catchCause(own.find(id), () => Effect.succeed(undefined))
      return now ?? (isChanged ? { ...deadLetter, ...changedBy[action] } : deadLetter)
    })

  const redriveAll = (which: Pick<Filter, "reaction" | "type"> & { readonly module?: string }) =>
    Effect.gen(function* () {
      const { module, ...filter } = which
      const counts = yield* Effect.forEach(of(module), (own) => own.redriveAll(filter))
      const redriven = counts.reduce((sum, count) => sum + count, 0)
      yield* Effect.logInfo(`An operator redrove all that match: ${redriven} events`).pipe(Effect.annotateLogs(which))
      return { redriven }
    })

  return { list, find, act, redriveAll }
}

/** The replays of all modules. */
const replaysOf = (modules: ReadonlyArray<Administered>) => {
  const find = (name: string) =>
    Effect.suspend(() => {
      for (const { reactions, replay } of modules) {
        const reaction = reactions.find((one) => one.name === name)
        if (reaction !== undefined) return Effect.succeed({ reaction, replay })
      }
      return Effect.fail(new ReactionNotFound({}))
    })

  return {
    start: (name: string, from: number | undefined, reset: boolean) =>
      Effect.gen(function* () {
        const { reaction, replay } = yield* find(name)
        return yield* Effect.catchTags(replay.start(reaction, from, reset), {
          NoReset: () => new ReactionNotResettable({}),
          ResetUnderWay: () => new ResetRunning({}),
          LogIncomplete: ({ since }) => new LogNotWhole({ since: since.toISOString() }),
        })
      }),
    stateOf: (name: string) => Effect.flatMap(find(name), ({ reaction, replay }) => replay.stateOf(reaction)),
  }
}

/** What an action changes of a dead letter. */
const changedBy = {
  redrive: { status: "retrying", attempts: 0 },
  discard: { status: "discarded", waiting: 0, next_attempt_at: null },
} as const

const newestFirst = (deadLetters: Array<DeadLetter>) =>
  deadLetters.sort((a, b) => (a.id < b.id ? 1 : a.id > b.id ? -1 : 0))
