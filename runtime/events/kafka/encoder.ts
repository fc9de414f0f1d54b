import { changeOnce } from "./internals.ts"

/** What is used here of kafkajs' encoder, which writes requests, records and headers. */
interface Encoder {
  buf: Buffer
  offset: number
  ensureAvailable: (this: Encoder, length: number) => void
  writeUVarInt: (this: Encoder, value: number) => Encoder
}

interface EncoderClass {
  readonly prototype: Encoder
  nextPowerOfTwo: (value: number) => number
}

/** The size in bytes of an encoder that is made without a size. */
const defaultSize = 511

/** What such an encoder takes at its first write, in bytes: enough for a header of an event. */
const firstSize = 128

/**
 * Makes encoders of kafkajs 2.2.4 cheap that write little. It makes one for each header of each record, which took 512
 * bytes that are filled with zeros, and a buffer more for each number. Now an encoder takes memory from Node's pool when it
 * first writes. What is written stays the same. Changes kafkajs once for the process.
 */
export const withSmallEncoders = (): void =>
  changeOnce<EncoderClass>("kafkajs/src/protocol/encoder", (Encoder) => {
    const { nextPowerOfTwo, prototype } = Encoder
    Encoder.nextPowerOfTwo = (size) => (size === defaultSize ? 0 : nextPowerOfTwo(size))
    prototype.ensureAvailable = function (length) {
      const needed = this.offset + length
      if (needed <= this.buf.length) return
      const larger = Buffer.allocUnsafe(Math.max(firstSize, nextPowerOfTwo(needed)))
      this.buf.copy(larger, 0, 0, this.offset)
      this.buf = larger
    }
    // Seven bits a byte, the lowest first; the highest bit says that more follow.
    prototype.writeUVarInt = function (value) {
      this.ensureAvailable(5)
      let rest = value
      for (; (rest & ~0x7f) !== 0; rest >>>= 7) this.buf[this.offset++] = (rest & 0x7f) | 0x80
      this.buf[this.offset++] = rest
      return this
    }
  })
