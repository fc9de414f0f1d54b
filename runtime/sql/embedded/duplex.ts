import type { PGlite } from "@electric-sql/pglite"
import { Duplex } from "node:stream"
import { isIdleAfter, queryOf, takeRequests } from "./messages.ts"

/**
 * The queue for the one session of a PGlite. A client holds the session while its transaction is open. `schema` is the
 * current `search_path`, undefined when it is not known.
 */
export interface Gate {
  tail: Promise<void>
  schema: string | undefined
}

/** The longest that PGlite may block the event loop: one turn of that accepts only one connection. */
const longestMillis = 1

let turned = performance.now()

/**
 * Lets the event loop turn. PGlite answers synchronously, and what follows an answer follows in promises: under load, no
 * socket would be read and no timer would fire.
 */
const turn = async () => {
  await new Promise<void>((done) => setImmediate(done))
  turned = performance.now()
}

/** The answer to a request, as bytes: PGlite's other methods parse it as well. */
const ask = async (db: PGlite, request: Uint8Array): Promise<Buffer> => {
  const parts: Array<Buffer> = []
  await db.execProtocolRawStream(request, { onRawData: (part) => void parts.push(Buffer.from(part)) })
  return Buffer.concat(parts)
}

interface Options {
  readonly db: PGlite
  readonly gate: Gate
  readonly schema: string
  /** Called with each answer before the client gets it. */
  readonly onAnswer: (answer: Uint8Array) => void
}

/** Requests of one client, which holds the session from a request until its transaction has ended. */
const makeSession = ({ db, gate, schema, onAnswer }: Options) => {
  let release: (() => void) | undefined

  const enter = async () => {
    if (release !== undefined) return
    const before = gate.tail
    const { promise, resolve } = Promise.withResolvers<void>()
    gate.tail = promise
    await before
    release = resolve
    if (gate.schema !== schema) {
      gate.schema = undefined
      await ask(db, queryOf(`set search_path to "${schema}"`))
      gate.schema = schema
    }
  }

  const leave = () => {
    const done = release
    release = undefined
    done?.()
  }

  const run = async (request: Uint8Array, deliver: (answer: Buffer) => void) => {
    try {
      await enter()
      if (performance.now() - turned > longestMillis) await turn()
      const answer = await db.runExclusive(() => ask(db, request))
      onAnswer(answer)
      deliver(answer)
      if (isIdleAfter(answer)) leave()
    } catch (error) {
      leave()
      throw error
    }
  }

  /** Rolls back the open transaction, if there is one, of a client that has gone. */
  const abandon = (then: () => void) => {
    if (release === undefined) return then()
    gate.schema = undefined
    ask(db, queryOf("rollback"))
      .catch(() => {})
      .finally(() => {
        leave()
        then()
      })
  }

  return { run, abandon }
}

/**
 * PostgreSQL's wire protocol into an in-process PGlite, for one client of @effect/sql-pg that works in `schema`.
 *
 * Bytes are collected until they complete a request, then passed on as a whole: requests of several clients never mix.
 */
export const pgliteDuplex = (options: Options): Duplex => {
  const session = makeSession(options)
  let pending: Buffer = Buffer.alloc(0)
  let isStarted = false

  const duplex: Duplex = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      const taken = takeRequests(pending.length === 0 ? chunk : Buffer.concat([pending, chunk]), isStarted)
      pending = taken.rest
      isStarted = taken.isStarted
      if (taken.isEnded) duplex.push(null)
      if (taken.requests === undefined) return done()
      session.run(taken.requests, (answer) => duplex.push(answer)).then(() => done(), done)
    },
    final(done) {
      duplex.push(null)
      done()
    },
    destroy(error, done) {
      session.abandon(() => done(error))
    },
  })
  return duplex
}
