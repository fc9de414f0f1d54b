import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Page } from "../http/Page.ts"
import { api, DeadLetterNotFound } from "./api.ts"
import type { DeadLetter, DeadLetters, Filter } from "./DeadLetters.ts"

/** The dead letters of each module that runs. */
export type ByModule = ReadonlyMap<string, DeadLetters["Service"]>

/** `/admin/dead-letters` over all modules of the process. */
export const http = (byModule: ByModule) =>
  HttpApiBuilder.group(
    api,
    "deadLetters",
    Effect.fnUntraced(function* (handlers) {
      const page = yield* Page

      const of = (module: string | undefined) =>
        [...byModule].flatMap(([name, letters]) => (module === undefined || module === name ? [letters] : []))

      /** The entry and whose it is. */
      const find = (id: string) =>
        Effect.gen(function* () {
          for (const letters of byModule.values()) {
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
          return (yield* find(id)).entry
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
            yield* Effect.logInfo(`A person asked to redrive all that match: ${redriven} events`).pipe(
              Effect.annotateLogs({ ...payload }),
            )
            return { redriven }
          }),
      })
    }),
  )

const newestFirst = (entries: Array<DeadLetter>) => entries.sort((a, b) => (a.id < b.id ? 1 : a.id > b.id ? -1 : 0))
