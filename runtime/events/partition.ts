const encoder = new TextEncoder()

/**
 * The partition of a key: murmur2 over its UTF-8 bytes, made positive, modulo the number of partitions, as
 * `org.apache.kafka.clients.producer` does (`Utils.murmur2`, `toPositive`), so that producers in Java choose the same.
 */
export const partitionOf = (key: string, partitions: number): number =>
  (murmur2(encoder.encode(key)) & 0x7fffffff) % partitions

const m = 0x5bd1e995

/** MurmurHash2, 32 bits, with the seed that Kafka uses. */
export const murmur2 = (data: Uint8Array): number => {
  const length = data.length
  let hash = 0x9747b28c ^ length
  const words = length >> 2
  for (let word = 0; word < words; word++) {
    const at = word * 4
    let k = data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24)
    k = Math.imul(k, m)
    k ^= k >>> 24
    k = Math.imul(k, m)
    hash = Math.imul(hash, m) ^ k
  }
  const rest = words * 4
  const left = length & 3
  if (left >= 3) hash ^= data[rest + 2]! << 16
  if (left >= 2) hash ^= data[rest + 1]! << 8
  if (left >= 1) hash = Math.imul(hash ^ data[rest]!, m)
  hash ^= hash >>> 13
  hash = Math.imul(hash, m)
  return hash ^ (hash >>> 15)
}
