import { Config, Redacted, Schema } from "effect"

/** Describes what is wrong with a provider's URL, without quoting it; undefined when it is valid. */
const faultInUrl = (text: string): string | undefined => {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/u.test(url.protocol)) return "expected a URL such as https://provider.example/v1"
  try {
    for (const part of [url.username, url.password]) decodeURIComponent(part)
  } catch {
    return "the URL has a % that begins no %-encoding; write it as %25"
  }
  return url.search === "" && url.hash === "" ? undefined : "expected a URL without query and fragment"
}

export const settings = {
  /** How long a payment may stay without an answer from the provider, in minutes; decimals are allowed. */
  PAYMENT_GIVE_UP_MINUTES: Config.schema(
    Schema.FiniteFromString.check(Schema.isBetween({ minimum: 0.01, maximum: 1_440 })),
    "PAYMENT_GIVE_UP_MINUTES",
  ).pipe(Config.withDefault(10)),
  /** The provider's URL, optionally with user and password; unset: the sandbox. */
  PAYMENT_PROVIDER_URL: Config.option(
    Config.map(
      Config.schema(Schema.String.check(Schema.makeFilter(faultInUrl)), "PAYMENT_PROVIDER_URL"),
      Redacted.make,
    ),
  ),
}
