import { SecureRandom } from "effect/crypto"
import { randomFillSync } from "node:crypto"

/** Random bytes that are drawn from the system at once: a draw costs as much for 4 KiB as for the bytes of one id. */
const pool = Buffer.alloc(4_096)
let used = pool.length

const randomBytes = (size: number): Uint8Array<ArrayBuffer> => {
  if (used + size > pool.length) {
    randomFillSync(pool)
    used = 0
  }
  return new Uint8Array(pool.subarray(used, (used += size)))
}

/** A new event id: a UUIDv7 that sorts after those that this process made before. */
export const eventId = SecureRandom.make(randomBytes).uuidV7()
