import { Clock, Effect } from "effect"
import { uuidV7Unsafe } from "effect/crypto/SecureRandom"
import { HttpApiBuilder, HttpApiSchema } from "effect/http-api"
import { type Filter, mostCounted } from "../delivery/deadLetterTable.ts"
import type { makeReplay } from "../delivery/replay.ts"
import { receivedText } from "../http/edge/edge.ts"
import { Page } from "../http/Page.ts"
import type { Reaction } from "../module/Reaction.ts"
import { actor } from "./actor.ts"
import {
  api,
  DeadLetterNotFound,
  LogNotWhole,
  OperationNotFound,
  ReactionNotFound,
  ReactionNotResettable,
  ResetRunning,
} from "./api.ts"
import type { DeadLetter, DeadLetters, Personal, Status } from "./DeadLetters.ts"
import { memberIn } from "./jsonText.ts"
import { type BulkChange, mostAtOnce } from "./Operation.ts"
import type { makeReads } from "./reads.ts"

/** A module that runs in this process, as operators administer it. */
export interface Administered {
  readonly name: string
  readonly reactions: ReadonlyArray<Reaction<never>>
  readonly deadLetters: DeadLetters["Service"]
  readonly replay: Effect.Success<ReturnType<typeof makeReplay>>
}

/** `/admin/dead-letters`, `/admin/operations`, `/admin/actions` and `/admin/replays` over all modules of the process. */
export const http = (modules: ReadonlyArray<Administered>, limited: ReturnType<typeof makeReads>) =>
  HttpApiBuilder.group(
    api,
    "deadLetters",
    Effect.fnUntraced(function* (handlers) {
      const page = yield* Page
      const deadLetters = deadLettersOf(modules)
      const actions = actionsOf(modules)
      const replays = replaysOf(modules)
      return handlers.handleAll({
        list: ({ query }) =>
          Effect.gen(function* () {
            const { module, reaction, status, type, cause, personal, brief } = query
            const filter = filterOf(query)
            const checked_at = new Date(yield* Clock.currentTimeMillis)
            const { items, next_cursor } = yield* page.of({
              list: ["dead letters", module, reaction, status, type, cause],
              query,
              read: (before, limit) => deadLetters.list(module, filter, { before, limit, personal }),
              position: ({ id }) => id,
              rowsAtOnce: 16,
            })
            return { checked_at, items: brief === undefined ? items : items.map(briefOf), next_cursor }
          }),
        get: ({ params: { id }, query: { personal } }) =>
          Effect.gen(function* () {
            const { deadLetter, own } = yield* deadLetters.find(id, personal)
            if (personal === "show") {
              const target = `dead letter ${id}`
              yield* own.record({
                actor: yield* actor,
                action: "show personal data",
                target,
                details: { module: deadLetter.module },
              })
            }
            return deadLetter
          }),
        redrive: ({ params: { id }, query: { personal }, payload }) =>
          Effect.flatMap(payload === undefined ? Effect.succeed(undefined) : otherData, (data) =>
            deadLetters.act({ id, action: "redrive", personal, data }),
          ),
        discard: ({ params: { id }, query: { personal } }) => deadLetters.act({ id, action: "discard", personal }),
        groups: ({ query }) => limited(deadLetters.groups(query.module, filterOf(query))),
        redriveAll: ({ payload }) =>
          Effect.map(deadLetters.changeAll("redrive", payload ?? {}), ({ changed, ...rest }) => ({
            redriven: changed,
            ...rest,
          })),
        discardAll: ({ payload }) =>
          Effect.map(deadLetters.changeAll("discard", payload ?? {}), ({ changed, ...rest }) => ({
            discarded: changed,
            ...rest,
          })),
        operation: ({ params }) => actions.operation(params.id),
        actions: ({ query }) =>
          page.of({
            list: ["actions"],
            query,
            read: actions.list,
            position: ({ id }) => id,
          }),
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

/** An action on one dead letter. `data` is JSON text that takes the place of the event's. */
interface Act {
  readonly id: string
  readonly action: "redrive" | "discard"
  readonly personal: Personal
  readonly data?: string | undefined
}

/** The dead letters of all modules. */
const deadLettersOf = (modules: ReadonlyArray<Administered>) => {
  const of = (module: string | undefined) =>
    modules.flatMap(({ name, deadLetters }) => (module === undefined || module === name ? [deadLetters] : []))

  const list = (
    module: string | undefined,
    filter: Filter,
    {
      before,
      limit,
      personal,
    }: { readonly before: string | undefined; readonly limit: number; readonly personal: Personal },
  ) =>
    Effect.map(
      Effect.forEach(of(module), (own) => own.list(filter, before, limit, personal)),
      (lists) => newestFirst(lists.flat()).slice(0, limit),
    )

  /** A dead letter, and the dead letters of its module. */
  const find = (id: string, personal?: Personal) =>
    Effect.gen(function* () {
      for (const own of of(undefined)) {
        const deadLetter = yield* own.find(id, personal)
        if (deadLetter !== undefined) return { deadLetter, own }
      }
      return yield* new DeadLetterNotFound({})
    })

  /** Acts on a dead letter, logs what that changed, and returns the dead letter as it is afterwards. */
  const act = ({ id, action, personal, data }: Act) =>
    Effect.gen(function* () {
      const { deadLetter, own } = yield* find(id, personal)
      const by = yield* actor
      const isChanged = yield* data === undefined ? own[action](id, by) : own.redriveWith(id, data, by)
      const { module, reaction, status } = deadLetter
      yield* Effect.logInfo(
        `An operator asked to ${action} an event of ${reaction}${isChanged ? "" : ", which changed nothing"}`,
      ).pipe(Effect.annotateLogs({ module, dead_letter: id, was: status }))
      // An action that took effect is answered with success, even when the dead letter cannot be read again.
      const now = yield* Effect.catchCause(own.find(id, personal), () => Effect.succeed(undefined))
      return now ?? (isChanged ? { ...deadLetter, ...changedBy[action] } : deadLetter)
    })

  /** Changes at most `limit` that match, module by module. */
  const changeAll = (action: "redrive" | "discard", change: BulkChange) =>
    Effect.gen(function* () {
      const { module, operation = uuidV7Unsafe(), limit = mostAtOnce } = change
      const by = yield* actor
      let changed = 0
      let remaining = 0
      for (const own of of(module)) {
        const more = { action, filter: filterOf(change), operation, limit: limit - changed, actor: by }
        const done = yield* own.changeMany(more)
        changed += done.changed
        remaining += done.remaining
      }
      yield* Effect.logInfo(`An operator asked to ${action} all that match: ${changed} events`).pipe(
        Effect.annotateLogs({ ...filterOf(change), operation }),
      )
      return { changed, remaining: Math.min(remaining, mostCounted), operation }
    })

  const groups = (module: string | undefined, filter: Filter) =>
    Effect.gen(function* () {
      const checked_at = new Date(yield* Clock.currentTimeMillis)
      const chosen = modules.filter(({ name }) => module === undefined || module === name)
      const found = yield* Effect.forEach(chosen, ({ name, deadLetters }) =>
        Effect.map(deadLetters.groups(filter), ({ groups, more }) => ({
          items: groups.map((group) => ({ ...group, module: name, capped: false })),
          more,
        })),
      )
      return {
        checked_at,
        items: found.flatMap(({ items }) => items).sort((a, b) => b.count - a.count),
        more: found.reduce((sum, { more }) => sum + more, 0),
      }
    })

  return { list, find, act, changeAll, groups }
}

/** What operators did in all modules. */
const actionsOf = (modules: ReadonlyArray<Administered>) => {
  const operation = (id: string) =>
    Effect.gen(function* () {
      const found = (yield* Effect.forEach(modules, ({ deadLetters }) => deadLetters.operation(id))).flatMap(
        (one) => one ?? [],
      )
      const [first] = found.map(({ action }) => action).sort((a, b) => a.at.getTime() - b.at.getTime())
      if (first === undefined) return yield* new OperationNotFound({})
      const counts = { applied: 0, waiting: 0, retrying: 0, parked: 0, discarded: 0 }
      for (const { outcome, n } of found.flatMap(({ outcomes }) => outcomes)) counts[outcome] += n
      const action = first.action === "discard" ? ("discard" as const) : ("redrive" as const)
      return { id, action, started_at: first.at, actor: first.actor, counts }
    })

  const list = (before: string | undefined, limit: number) =>
    Effect.map(
      Effect.forEach(modules, ({ deadLetters }) => deadLetters.actions(before, limit)),
      (lists) =>
        newestFirst(lists.flat())
          .slice(0, limit)
          .map(({ operation, details, ...action }) => ({
            ...action,
            details: operation === null ? details : { ...details, operation },
          })),
    )

  return { operation, list }
}

/** The filter of a query or a bulk change. */
const filterOf = ({
  status,
  reaction,
  type,
  cause,
  until,
}: {
  readonly [Member in keyof Omit<Filter, "statuses">]?: Filter[Member] | undefined
} & { readonly status?: Status | undefined }): Filter => ({
  ...(status === undefined ? {} : { statuses: [status] }),
  ...(reaction === undefined ? {} : { reaction }),
  ...(type === undefined ? {} : { type }),
  ...(cause === undefined ? {} : { cause }),
  ...(until === undefined ? {} : { until }),
})

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

const briefOf = ({ event: { data: _data, headers: _headers, ...event }, ...deadLetter }: DeadLetter) => ({
  ...deadLetter,
  event,
})

/** The text of the member `data` of the body: parsed and written again, long numbers would be others. */
const otherData = Effect.map(receivedText, (text) => {
  const { start, end } = memberIn(text, "data")!
  return text.slice(start, end)
})

/** What an action changes of a dead letter. */
const changedBy = {
  redrive: { status: "retrying", attempts: 0 },
  discard: { status: "discarded", waiting: 0, next_attempt_at: null },
} as const

const newestFirst = <Row extends { readonly id: string }>(rows: Array<Row>) =>
  rows.sort((a, b) => (a.id < b.id ? 1 : a.id > b.id ? -1 : 0))
