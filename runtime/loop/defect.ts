/** What a defect says: it may be anything. An error without a message, or one whose message fails, says its name. */
export const textOf = (defect: unknown): string => {
  try {
    const text = String(defect instanceof Error ? defect.message : defect)
    return text === "" ? nameOf(defect) : text
  } catch (failure) {
    return `${nameOf(defect)}, whose message cannot be read${failure instanceof Error ? `: ${failure.message}` : ""}`
  }
}

const nameOf = (defect: unknown): string => {
  try {
    const { name, constructor } = defect as Error
    return name !== "Error" && typeof name === "string" && name !== "" ? name : constructor.name || "an error"
  } catch {
    return "an error without a name"
  }
}

/** What may be kept and shown of an error: 2,000 characters of a line. */
export const clean = (text: string): string =>
  text
    .slice(0, 2_000)
    .toWellFormed()
    .replace(/[\u0000-\u001f\u007f-\u009f]+/gu, " ")
