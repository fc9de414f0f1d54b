/** Types of messages in PostgreSQL's wire protocol. */
const message = { terminate: 0x58, sync: 0x53, query: 0x51 }

/** The last byte of ReadyForQuery outside of a transaction. */
const idle = 0x49

/** A simple Query message. */
export const queryOf = (text: string): Buffer => {
  const bytes = Buffer.from(`\0\0\0\0\0${text}\0`)
  bytes[0] = message.query
  bytes.writeInt32BE(bytes.length - 1, 1)
  return bytes
}

/** Whether an answer leaves the session outside of a transaction. The answer to a start-up message may be shorter. */
export const isIdleAfter = (answer: Uint8Array): boolean => answer.length < 6 || answer[answer.length - 1] === idle

/** What `takeRequests` finds in the bytes that a client has sent. */
export interface TakenMessage {
  /** All complete requests; undefined when there is none. */
  readonly requests: Buffer | undefined
  /** The bytes after them. */
  readonly rest: Buffer
  /** The start-up message, which has no type, was among them or before them. */
  readonly isStarted: boolean
  /** The client has sent Terminate, which is not part of the requests. */
  readonly isEnded: boolean
}

/** Divides the bytes of a client. A Sync, a simple Query or the start-up message completes a request. */
export const takeRequests = (bytes: Buffer, wasStarted: boolean): TakenMessage => {
  let at = 0
  let end = 0
  let isStarted = wasStarted
  let isEnded = false
  if (!isStarted && bytes.length >= 4 && bytes.length >= bytes.readInt32BE(0)) {
    at = end = bytes.readInt32BE(0)
    isStarted = true
  }
  while (isStarted && bytes.length >= at + 5) {
    const type = bytes[at]
    const length = bytes.readInt32BE(at + 1)
    if (bytes.length < at + 1 + length) break
    if (type === message.terminate) {
      isEnded = true
      break
    }
    at += 1 + length
    if (type === message.sync || type === message.query) end = at
  }
  return { requests: end > 0 ? bytes.subarray(0, end) : undefined, rest: bytes.subarray(end), isStarted, isEnded }
}
