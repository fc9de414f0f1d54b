import type { PGlite } from "@electric-sql/pglite"
import { Duplex } from "node:stream"

/**
 * Whose turn it is on the one session that PGlite is: a client keeps it while its transaction is open. `schema` is
 * what `search_path` says now, undefined when nobody knows.
 */
export interface Gate {
  tail: Promise<void>
  schema: string | undefined
}

const readyForQuery = { idle: 0x49 }
const message = { terminate: 0x58, sync: 0x53, query: 0x51 }

const queryOf = (text: string) => {
  const bytes = Buffer.from(`\0\0\0\0\0${text}\0`)
  bytes[0] = message.query
  bytes.writeInt32BE(bytes.length - 1, 1)
  return bytes
}

/** How long the event loop may stand for PGlite's sake: a turn takes in one new connection, no more. */
const longestMillis = 1

let turned = performance.now()

/**
 * Lets the event loop turn. PGlite answers within the call, and what follows an answer follows in promises: as long as
 * there is something to do, no socket would be read and no timer would fire.
 */
const turn = async () => {
  await new Promise<void>((done) => setImmediate(done))
  turned = performance.now()
}

/** The answer in bytes: PGlite's other ways to ask read it all before the client does. */
const ask = async (db: PGlite, request: Uint8Array): Promise<Buffer> => {
  const parts: Array<Buffer> = []
  await db.execProtocolRawStream(request, { onRawData: (part) => void parts.push(Buffer.from(part)) })
  return Buffer.concat(parts)
}

/**
 * PostgreSQL's wire protocol into an in-process PGlite, for one client of @effect/sql-pg that works in `schema`.
 *
 * Bytes are collected until a Sync, a simple Query or the start-up message ends a request, then handed over whole:
 * requests of several clients never mix. `onAnswer` sees each answer first.
 */
export const pgliteDuplex = (options: {
  readonly db: PGlite
  readonly gate: Gate
  readonly schema: string
  readonly onAnswer: (answer: Uint8Array) => void
}): Duplex => {
  const { db, gate, schema } = options
  let pending: Buffer = Buffer.alloc(0)
  let started = false
  let release: (() => void) | undefined

  const enter = async () => {
    if (release !== undefined) return
    const before = gate.tail
    let leave!: () => void
    gate.tail = new Promise<void>((done) => (leave = done))
    await before
    release = leave
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

  const run = async (request: Uint8Array) => {
    try {
      await enter()
      if (performance.now() - turned > longestMillis) await turn()
      const answer = await db.runExclusive(() => ask(db, request))
      options.onAnswer(answer)
      duplex.push(answer)
      if (answer.length < 6 || answer[answer.length - 1] === readyForQuery.idle) leave()
    } catch (error) {
      leave()
      throw error
    }
  }

  /** Cuts off what is complete; Terminate must not reach PGlite. */
  const take = (): { readonly request: Buffer | undefined; readonly end: boolean } => {
    let at = 0
    let cut = 0
    let end = false
    if (!started && pending.length >= 4 && pending.length >= pending.readInt32BE(0)) {
      at = cut = pending.readInt32BE(0)
      started = true
    }
    while (started && pending.length >= at + 5) {
      const type = pending[at]
      const length = pending.readInt32BE(at + 1)
      if (pending.length < at + 1 + length) break
      if (type === message.terminate) {
        end = true
        break
      }
      at += 1 + length
      if (type === message.sync || type === message.query) cut = at
    }
    const request = cut > 0 ? pending.subarray(0, cut) : undefined
    pending = pending.subarray(cut)
    return { request, end }
  }

  const duplex: Duplex = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
      const { request, end } = take()
      if (end) duplex.push(null)
      if (request === undefined) return done()
      run(request).then(() => done(), done)
    },
    final(done) {
      duplex.push(null)
      done()
    },
    destroy(error, done) {
      if (release === undefined) return done(error)
      gate.schema = undefined
      ask(db, queryOf("rollback"))
        .catch(() => {})
        .finally(() => {
          leave()
          done(error)
        })
    },
  })
  return duplex
}
