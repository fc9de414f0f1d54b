import { randomUUID } from "node:crypto"
import { Effect, Latch, Queue, Schedule } from "effect"
import type { SqlClient } from "effect/sql"
import { watched } from "../../loop/loop.ts"
import type { Bell } from "../Database.ts"
import { type LocalBell, localBell } from "../transaction.ts"
import { openSession, type SessionOptions } from "./session.ts"

/** Rings of one bell that come closer together than this reach other instances as one. */
const pauseMillis = 5

/** Before it listens again, after it could not. */
const pause = Schedule.jittered(Schedule.spaced("1 second"))

/**
 * Bells that are heard in every instance of the module, by LISTEN and NOTIFY. Whoever waits in this process is rung at
 * once; the others are told in a transaction of its own, for a NOTIFY within a business transaction would make all
 * commits wait for each other. While nobody can be told, rings are lost; when this instance could not listen for a
 * while, every bell rings once.
 */
export const makeBells = (sql: SqlClient.SqlClient, options: SessionOptions) =>
  Effect.gen(function* () {
    const channel = `galleria ${options.schema}`
    const self = randomUUID()
    const bells = new Map<string, LocalBell>()
    const rung = new Set<string>()
    const someRang = Latch.makeUnsafe(false)

    const bell = (name: string): Bell => {
      const local = bells.get(name) ?? localBell(sql)
      bells.set(name, local)
      const tell = Effect.sync(() => {
        rung.add(name)
        someRang.openUnsafe()
      })
      return { ring: Effect.andThen(local.ring, sql.afterCommit(tell)), next: local.next, opens: local.opens }
    }

    const notifying = yield* watched(`${options.schema}.notify`)
    const listening = yield* watched(`${options.schema}.listen`)

    const telling = Effect.gen(function* () {
      yield* someRang.await
      yield* someRang.close
      const names = JSON.stringify([...rung])
      rung.clear()
      const notify = sql`
        select pg_notify(${channel}, ${`${self} `} || name) from json_array_elements_text(${names}::json) as name`
      yield* notifying(Effect.ignore(notify))
      yield* Effect.sleep(pauseMillis)
    })

    const hear = (payload: string) => {
      const [instance, ...name] = payload.split(" ")
      if (instance !== self) bells.get(name.join(" "))?.ringUnsafe()
    }

    /** Listens; what comes back hears until it fails, as it does when the session is cut. */
    const listen = Effect.gen(function* () {
      const { connection, cut } = yield* openSession(options)
      const pinned = yield* connection.pin
      const heard = yield* pinned.listen(channel)
      // Else its end would wait for the server's word that it is not told any more.
      yield* Effect.addFinalizer(() => Effect.sync(cut))
      const sign = listening(pinned.query("select 1")).pipe(
        Effect.timeoutOrElse({ duration: "5 seconds", orElse: () => Effect.sync(cut) }),
        Effect.repeat(Schedule.spaced("5 seconds")),
      )
      yield* Effect.forkScoped(Effect.ignore(sign))
      return Effect.forever(Effect.map(Queue.take(heard), ({ payload }) => hear(payload)))
    })
    const ringAll = Effect.sync(() => {
      for (const bell of bells.values()) bell.ringUnsafe()
    })
    const listenAgain = Effect.scoped(Effect.flatMap(listen, (hearing) => Effect.andThen(ringAll, hearing)))

    const first = yield* listen
    const hearing = Effect.andThen(Effect.ignore(first), Effect.retry(listenAgain, pause))
    for (const work of [hearing, Effect.forever(telling)]) {
      yield* Effect.forkScoped(Effect.withTracerEnabled(work, false))
    }
    return bell
  })
