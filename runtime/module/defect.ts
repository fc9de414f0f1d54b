/** What a defect says: it may be anything, even what has no text. */
export const textOf = (defect: unknown): string => {
  try {
    return String(defect instanceof Error ? defect.message : defect)
  } catch {
    return "an error without a text"
  }
}
