/** The wait of a partition after that many consecutive failures of its `handle`: 0.1 s doubling to 10 s, jittered. */
export const restMillis = (failures: number): number =>
  Math.min(10_000, 100 * 2 ** (failures - 1)) * (0.8 + Math.random() * 0.4)
