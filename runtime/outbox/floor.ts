/**
 * The `seq` above which a relay reads (DELIVERY.md, *The outbox floor*): no row with `seq <= at` can appear any more. The
 * other members are the measurements to raise it.
 */
export interface Floor {
  readonly at: bigint
  /** The table's file, which changes when the table is restored or truncated. */
  readonly file: number
  /** A value of the sequence; it becomes the floor once all writers with a value up to it have ended. */
  readonly sequence: bigint
  /** A transaction id that was taken later: every writer with such a value has a smaller id. Null: none was taken yet. */
  readonly horizon: bigint | null
}

/** What a read returns besides its rows. */
export interface Reading {
  /** The floor of the read: 0 when the given floor was measured on another table. */
  readonly at: bigint
  readonly file: number
  readonly sequence: bigint
  /** No transaction with a smaller id was running when the read took its snapshot. */
  readonly xmin: bigint
  /** The id of the read's own transaction; null when it was not requested. */
  readonly xid: bigint | null
}

/** The floor at the beginning of a session: nothing was measured. */
export const unknown: Floor = { at: 0n, file: 0, sequence: 0n, horizon: null }

/** Whether the next read must take a transaction id. */
export const wantsXid = ({ at, sequence, horizon }: Floor) => horizon === null && sequence > at

/** The floor after a read; `lowest` is the least `seq` that was found or is in flight. */
export const raised = (floor: Floor, reading: Reading, lowest: bigint | undefined): Floor => {
  const { at, file, sequence, xmin, xid } = reading
  const measured = { at, file, sequence, horizon: null }
  if (file !== floor.file || sequence < floor.sequence || floor.sequence <= at) return measured
  if (floor.horizon === null) return { ...floor, horizon: xid }
  if (xmin < floor.horizon) return floor
  const most = lowest === undefined || floor.sequence < lowest ? floor.sequence : lowest - 1n
  return { ...measured, at: most > at ? most : at }
}
