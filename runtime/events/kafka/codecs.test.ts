import { snappyCompress } from "@platformatic/wasm-utils"
import kafkajs from "kafkajs"
import { randomBytes } from "node:crypto"
import { describe, expect, it } from "vitest"
import { installCodecs } from "./codecs.ts"

const { CompressionCodecs, CompressionTypes } = kafkajs

installCodecs()

/** As kafkajs takes one. */
const codecOf = (type: number) => (CompressionCodecs as unknown as Readonly<Record<number, () => Codec>>)[type]!()

interface Codec {
  readonly compress: (encoder: { readonly buffer: Buffer }) => Promise<Buffer>
  readonly decompress: (bytes: Buffer) => Promise<Buffer>
}

const samples: ReadonlyArray<readonly [what: string, bytes: Buffer]> = [
  ["nothing", Buffer.alloc(0)],
  ["a byte", Buffer.from([0])],
  ["text", Buffer.from('{"user_id":1,"amount":"100.50"}')],
  ["noise", randomBytes(100_000)],
  ["a megabyte that repeats", Buffer.alloc(1_048_576, "0123456789abcdef")],
]

/** Snappy as Java's client frames it: a header, a version and a compatible version, and chunks with their length. */
const framed = (...chunks: ReadonlyArray<Buffer>) => {
  const int = (n: number) => Buffer.from(n.toString(16).padStart(8, "0"), "hex")
  const header = [Buffer.from([0x82]), Buffer.from("SNAPPY\0"), int(1), int(1)]
  return Buffer.concat([...header, ...chunks.flatMap((chunk) => [int(chunk.length), chunk])])
}

describe("installCodecs", () => {
  for (const [name, type] of Object.entries({
    gzip: CompressionTypes.GZIP,
    snappy: CompressionTypes.Snappy,
    lz4: CompressionTypes.LZ4,
    zstd: CompressionTypes.ZSTD,
  })) {
    it.each(samples)(`packs and unpacks %s with ${name}`, async (_what, bytes) => {
      const codec = codecOf(type)
      const packed = await codec.compress({ buffer: bytes })
      expect((await codec.decompress(packed)).equals(bytes)).toBe(true)
    })

    it(`makes less of what repeats with ${name}`, async () => {
      expect((await codecOf(type).compress({ buffer: Buffer.alloc(100_000, "ab") })).length).toBeLessThan(10_000)
    })
  }

  // RFC 8878 §3.1.1, the LZ4 frame format §"General structure", RFC 1952 §2.3.1.
  it.each([
    ["gzip", CompressionTypes.GZIP, "1f8b"],
    ["lz4", CompressionTypes.LZ4, "04224d18"],
    ["zstd", CompressionTypes.ZSTD, "28b52ffd"],
  ])("writes frames of %s, which others read", async (_name, type, magic) => {
    const packed = await codecOf(type).compress({ buffer: Buffer.from("text") })
    expect(packed.toString("hex", 0, magic.length / 2)).toBe(magic)
  })

  it("unpacks snappy as Java frames it, in chunks", async () => {
    const chunks = ["one, ", "two, ", "", "three"].map((text) => Buffer.from(text))
    const packed = framed(...chunks.map((chunk) => Buffer.from(snappyCompress(chunk))))
    expect((await codecOf(CompressionTypes.Snappy).decompress(packed)).toString()).toBe("one, two, three")
    expect(await codecOf(CompressionTypes.Snappy).decompress(framed())).toHaveLength(0)
  })

  it.each([
    ["snappy", CompressionTypes.Snappy],
    ["lz4", CompressionTypes.LZ4],
    ["zstd", CompressionTypes.ZSTD],
  ])("refuses what is no %s", async (_name, type) => {
    await expect(async () => codecOf(type).decompress(Buffer.from("anything but that"))).rejects.toThrow()
  })
})
