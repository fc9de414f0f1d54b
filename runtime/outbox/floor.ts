/**
 * Where a relay begins to read (DELIVERY.md, *The outbox floor*): no row with `seq <= at` can appear any more. The rest is
 * what was measured to raise it.
 */
export interface Floor {
  readonly at: bigint
  /** The table's file, which is another one once the table was restored or truncated. */
  readonly file: number
  /** A value of the sequence; the floor when all that took one up to it have ended. */
  readonly sequence: bigint
  /** A transaction id that was taken later: every writer that took such a value has a lesser one. Null: none was taken yet. */
  readonly horizon: bigint | null
}

/** What a read returns beside its rows. */
export interface Reading {
  /** The floor that it read from: 0 where the one that it was given is of another table. */
  readonly at: bigint
  readonly file: number
  readonly sequence: bigint
  /** No transaction with a lesser id was running when the read took its snapshot. */
  readonly xmin: bigint
  /** The id of the read's own transaction, null when it was not asked for. */
  readonly xid: bigint | null
}

/** Nothing is known, as at the beginning of a session. */
export const unknown: Floor = { at: 0n, file: 0, sequence: 0n, horizon: null }

/** Whether the next read has to take a transaction id. */
export const wantsXid = ({ at, sequence, horizon }: Floor) => horizon === null && sequence > at

/** The floor after a read; `lowest` is the least `seq` that it found or that is in flight. */
export const raised = (floor: Floor, reading: Reading, lowest: bigint | undefined): Floor => {
  const { at, file, sequence, xmin, xid } = reading
  const measured = { at, file, sequence, horizon: null }
  if (file !== floor.file || sequence < floor.sequence || floor.sequence <= at) return measured
  if (floor.horizon === null) return { ...floor, horizon: xid }
  if (xmin < floor.horizon) return floor
  const most = lowest === undefined || floor.sequence < lowest ? floor.sequence : lowest - 1n
  return { ...measured, at: most > at ? most : at }
}
