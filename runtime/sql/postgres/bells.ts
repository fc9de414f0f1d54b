import { randomUUID } from "node:crypto"
import { Effect, Latch, Queue, Schedule } from "effect"
import type { SqlClient } from "effect/sql"
import { watched } from "../../loop/loop.ts"
import type { Bell } from "../Database.ts"
import { type LocalBell, localBell } from "../transaction.ts"
import { openSession, type SessionOptions } from "./session.ts"

/** Rings of a bell within this time reach other instances as one. */
const pauseMillis = 5

/** Between two attempts to listen. */
const pause = Schedule.jittered(Schedule.spaced("1 second"))

/**
 * Bells that notify every instance of the module, by LISTEN and NOTIFY. This process is notified at once, the others by a
 * transaction of its own: a NOTIFY in a business transaction would serialise all commits. During an outage rings are
 * lost; when this instance listens again after one, every bell rings once.
 */
export const makeBells = (sql: SqlClient.SqlClient, options: SessionOptions) =>
  Effect.gen(function* () {
    const channel = `galleria ${options.schema}`
    const self = randomUUID()
    const bells = new Map<string, LocalBell>()
    const rung = new Set<string>()
    /** Names of bells that are claimed by this process. */
    const claimed = new Set<string>()
    const someRang = Latch.makeUnsafe(false)

    const bell = (name: string): Bell => {
      const local = bells.get(name) ?? localBell(sql)
      bells.set(name, local)
      const enqueue = Effect.sync(() => {
        if (claimed.has(name)) return
        rung.add(name)
        someRang.openUnsafe()
      })
      const claim = Effect.acquireRelease(
        Effect.sync(() => void claimed.add(name)),
        () => Effect.sync(() => void claimed.delete(name)),
      )
      return { ...local, ring: Effect.andThen(local.ring, sql.afterCommit(enqueue)), claim }
    }

    const notifying = yield* watched(`${options.schema}.notify`)
    const listening = yield* watched(`${options.schema}.listen`)

    const sending = Effect.gen(function* () {
      yield* someRang.await
      yield* someRang.close
      const names = JSON.stringify([...rung])
      rung.clear()
      const notify = sql`
        select pg_notify(${channel}, ${`${self} `} || name) from json_array_elements_text(${names}::json) as name`
      yield* notifying(Effect.ignore(notify))
      yield* Effect.sleep(pauseMillis)
    })

    const receive = (payload: string) => {
      const [instance, ...name] = payload.split(" ")
      if (instance !== self) bells.get(name.join(" "))?.ringUnsafe()
    }

    /** Listens. The effect that it returns receives notifications until the session is cut. */
    const listen = Effect.gen(function* () {
      const { connection, cut } = yield* openSession(options)
      const pinned = yield* connection.pin
      const notifications = yield* pinned.listen(channel)
      // Otherwise the scope would wait for the answer to UNLISTEN.
      yield* Effect.addFinalizer(() => Effect.sync(cut))
      const sign = listening(pinned.query("select 1")).pipe(
        Effect.timeoutOrElse({ duration: "5 seconds", orElse: () => Effect.sync(cut) }),
        Effect.repeat(Schedule.spaced("5 seconds")),
      )
      yield* Effect.forkScoped(Effect.ignore(sign))
      return Effect.forever(Effect.map(Queue.take(notifications), ({ payload }) => receive(payload)))
    })
    const ringAll = Effect.sync(() => {
      for (const bell of bells.values()) bell.ringUnsafe()
    })
    const listenAgain = Effect.scoped(Effect.flatMap(listen, (receiving) => Effect.andThen(ringAll, receiving)))

    const first = yield* listen
    const receiving = Effect.andThen(Effect.ignore(first), Effect.retry(listenAgain, pause))
    for (const work of [receiving, Effect.forever(sending)]) {
      yield* Effect.forkScoped(Effect.withTracerEnabled(work, false))
    }
    return bell
  })
