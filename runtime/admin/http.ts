import { Effect } from "effect"
import { HttpApiBuilder, HttpApiSchema } from "effect/http-api"
import { Page } from "../http/Page.ts"
import type { Reaction } from "../module/Reaction.ts"
import { api, DeadLetterNotFound, LogNotWhole, ReactionNotFound, ReactionNotResettable, ResetRunning } from "./api.ts"
import type { DeadLetter, DeadLetters, Filter } from "./DeadLetters.ts"
import type { makeReplay } from "../delivery/replay.ts"

/** A module that runs, as people who look after it see it. */
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

      const of = (module: string | undefined) =>
        modules.flatMap(({ name, deadLetters }) => (module === undefined || module === name ? [deadLetters] : []))

      /** The entry and whose it is. */
      const find = (id: string) =>
        Effect.gen(function* () {
          for (const letters of of(undefined)) {
            const entry = yield* letters.find(id)
            if (entry !== undefined) return { entry, letters }
          }
          return yield* new DeadLetterNotFound({})
        })

      /** Does it, says in the log what it changed, and answers with what the entry is now. */
      const act = (id: string, action: "redrive" | "discard") =>
        Effect.gen(function* () {
          const { entry, letters } = yield* find(id)
          const changed = yield* letters[action](id)
          const { module, reaction, status } = entry
          yield* Effect.logInfo(
            `A person asked to ${action} an event of ${reaction}${changed ? "" : ", which changed nothing"}`,
          ).pipe(Effect.annotateLogs({ module, dead_letter: id, was: status }))
          // What took effect is answered with success, whatever becomes of the look at it.
          const now = yield* Effect.catchCause(letters.find(id), () => Effect.succeed(undefined))
          return now ?? (changed ? { ...entry, ...changedBy[action] } : entry)
        })

      const findReaction = (name: string) =>
        Effect.suspend(() => {
          for (const { reactions, replay } of modules) {
            const reaction = reactions.find((one) => one.name === name)
            if (reaction !== undefined) return Effect.succeed({ reaction, replay })
          }
          return Effect.fail(new ReactionNotFound({}))
        })

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
            read: (before, limit) =>
              Effect.map(
                Effect.forEach(of(module), (letters) => letters.list(filter, before, limit)),
                (lists) => newestFirst(lists.flat()).slice(0, limit),
              ),
            position: (entry) => entry.id,
            rowsAtOnce: 16,
          })
        },
        get: ({ params }) => Effect.map(find(params.id), ({ entry }) => entry),
        redrive: ({ params }) => act(params.id, "redrive"),
        discard: ({ params }) => act(params.id, "discard"),
        redriveAll: ({ payload }) =>
          Effect.gen(function* () {
            const { module, reaction, type } = payload ?? {}
            const filter: Filter = {
              ...(reaction === undefined ? {} : { reaction }),
              ...(type === undefined ? {} : { type }),
            }
            const counts = yield* Effect.forEach(of(module), (letters) => letters.redriveAll(filter))
            const redriven = counts.reduce((sum, count) => sum + count, 0)
            yield* Effect.logInfo(`An operator redrove all that match: ${redriven} events`).pipe(
              Effect.annotateLogs({ ...payload }),
            )
            return { redriven }
          }),
        replay: ({ payload: { reaction: name, from, reset = false } }) =>
          Effect.gen(function* () {
            const { reaction, replay } = yield* findReaction(name)
            const state = yield* Effect.catchTags(replay.start(reaction, from?.getTime(), reset), {
              NoReset: () => new ReactionNotResettable({}),
              ResetRunning: () => new ResetRunning({}),
              LogNotWhole: ({ since }) => new LogNotWhole({ since: since.toISOString() }),
            })
            return HttpApiSchema.withHeaders({
              body: state,
              headers: { location: `/admin/replays/${encodeURIComponent(name)}` },
            })
          }),
        replayed: ({ params }) =>
          Effect.flatMap(findReaction(params.reaction), ({ reaction, replay }) => replay.stateOf(reaction)),
      })
    }),
  )

const changedBy = {
  redrive: { status: "retrying", attempts: 0 },
  discard: { status: "discarded", waiting: 0, next_attempt_at: null },
} as const

const newestFirst = (entries: Array<DeadLetter>) => entries.sort((a, b) => (a.id < b.id ? 1 : a.id > b.id ? -1 : 0))
