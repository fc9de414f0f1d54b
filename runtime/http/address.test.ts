import { describe, expect, it } from "vitest"
import { urlOf } from "./address.ts"

describe("The address to ask", () => {
  it.each([
    ["127.0.0.1", "http://127.0.0.1:8000"],
    ["localhost", "http://localhost:8000"],
    ["0.0.0.0", "http://127.0.0.1:8000"],
    ["::", "http://[::1]:8000"],
    ["::1", "http://[::1]:8000"],
    ["[::1]", "http://[::1]:8000"],
    ["2001:db8::5", "http://[2001:db8::5]:8000"],
    ["galleria.example", "http://galleria.example:8000"],
  ])("of a server on %s is %s", (host, url) => {
    expect(urlOf(host, 8000)).toBe(url)
    expect(new URL(url).port).toBe("8000")
  })
})
