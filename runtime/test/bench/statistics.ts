/** The value below which that share of the values lies, by nearest rank; 0.5 is the median. */
export const quantile = (values: ReadonlyArray<number>, share: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const value = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]
  if (value === undefined) throw new Error("there are no values")
  return value
}

export const median = (values: ReadonlyArray<number>): number => quantile(values, 0.5)

/** The smallest and the largest of the values, for people. */
export const spread = (values: ReadonlyArray<number>, digits: number): string =>
  `${Math.min(...values).toFixed(digits)}–${Math.max(...values).toFixed(digits)}`
