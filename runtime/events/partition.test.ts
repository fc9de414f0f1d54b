import { describe, expect, it } from "@effect/vitest"
import { Schema } from "effect"
import { murmur2, partitionOf } from "./partition.ts"

/** Of `org.apache.kafka.common.utils.UtilsTest.testMurmur2`, then of `Utils.murmur2` itself (kafka-clients 4.1.0). */
const known: ReadonlyArray<readonly [key: string, hash: number]> = [
  ["21", -973932308],
  ["foobar", -790332482],
  ["a-little-bit-long-string", -985981536],
  ["a-little-bit-longer-string", -1486304829],
  ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
  ["abc", 479470107],
  ["", 275646681],
  ["1", -1993445489],
  ["abcdefg", -346467175],
  ["žluťoučký kůň", 874861404],
  ["😀", 131881617],
]

const Partitions = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000 }))

describe("murmur2", () => {
  it.each(known)("hashes %j as Kafka's Java client does", (key, hash) => {
    expect(murmur2(Buffer.from(key))).toBe(hash)
  })

  it("takes a byte above 127 as Java does, where it is negative", () => {
    expect(murmur2(Uint8Array.from([-1, -128, -17, 127, -2]))).toBe(1661859158)
  })
})

describe("partitionOf", () => {
  it.each(known)("puts %j where Kafka's Java client puts it", (key, hash) => {
    expect(partitionOf(key, 6)).toBe((hash & 0x7fffffff) % 6)
  })

  it.prop("is one of the partitions, the same each time", [Schema.String, Partitions], ([key, partitions]) => {
    const partition = partitionOf(key, partitions)
    expect(Number.isInteger(partition)).toBe(true)
    expect(partition).toBeGreaterThanOrEqual(0)
    expect(partition).toBeLessThan(partitions)
    expect(partitionOf(key, partitions)).toBe(partition)
  })

  it("spreads the ids of users over all partitions", () => {
    const used = new Set(Array.from({ length: 200 }, (_, id) => partitionOf(String(id + 1), 6)))
    expect(used.size).toBe(6)
  })
})
