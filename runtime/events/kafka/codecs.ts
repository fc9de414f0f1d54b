import { lz4Compress, lz4Decompress, snappyCompress, snappyDecompress } from "@platformatic/wasm-utils"
import kafkajs from "kafkajs"
import { zstdCompressSync, zstdDecompressSync } from "node:zlib"

/** Java's client frames snappy: this header, a version, a compatible version, then chunks. librdkafka does not. */
const framed = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0])
const frameHeader = framed.length + 8

const unsnappy = (bytes: Buffer): Uint8Array => {
  if (!bytes.subarray(0, framed.length).equals(framed)) return snappyDecompress(bytes)
  const chunks: Array<Uint8Array> = []
  for (let at = frameHeader; at + 4 <= bytes.length;) {
    const length = bytes.readUInt32BE(at)
    chunks.push(snappyDecompress(bytes.subarray(at + 4, at + 4 + length)))
    at += 4 + length
  }
  return Buffer.concat(chunks)
}

const codec = (compress: (bytes: Buffer) => Uint8Array, decompress: (bytes: Buffer) => Uint8Array) => () => ({
  compress: ({ buffer }: { readonly buffer: Buffer }) => Promise.resolve(Buffer.from(compress(buffer))),
  decompress: (bytes: Buffer) => Promise.resolve(Buffer.from(decompress(bytes))),
})

const { CompressionCodecs, CompressionTypes } = kafkajs

/**
 * Adds snappy, LZ4 and zstd to kafkajs, which has only gzip, without native builds. A consumer that gets a batch with an
 * unknown codec stops for good, with all its partitions.
 */
export const installCodecs = (): void => {
  Object.assign(CompressionCodecs, {
    [CompressionTypes.Snappy]: codec(snappyCompress, unsnappy),
    [CompressionTypes.LZ4]: codec(lz4Compress, lz4Decompress),
    [CompressionTypes.ZSTD]: codec(zstdCompressSync, zstdDecompressSync),
  })
}
