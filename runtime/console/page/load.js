/** The payment tokens of the sandbox, and how often the load uses each, of 20. */
export const tokens = [
  { token: "card_ok", word: "ok", share: 14 },
  { token: "card_declined", word: "declined", share: 2 },
  { token: "card_slow", word: "slow", share: 1 },
  { token: "card_timeout", word: "timeout", share: 1 },
  { token: "card_flaky", word: "flaky", share: 2 },
  { token: "card_down", word: "down", share: 0 },
]

const mix = tokens.flatMap(({ token, share }) => Array.from({ length: share }, () => token))

/**
 * The token of the n-th order of a load: the shares of `tokens`, spread out.
 *
 * @param {number} n
 */
export const tokenOf = (n) => mix[(n * 7) % mix.length] ?? "card_ok"

/**
 * The 99th percentile.
 *
 * @param {ReadonlyArray<number>} values
 */
export const p99Of = (values) => {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * 0.99) - 1)] ?? 0
}
