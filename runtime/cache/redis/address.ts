/** Describes what is wrong with a Redis URL; undefined when it is valid. */
export const faultInUrl = (text: string): string | undefined => {
  const url = URL.parse(text)
  const isRedis = url !== null && /^rediss?:$/u.test(url.protocol) && url.hostname !== ""
  if (!isRedis) return "expected a URL such as redis://localhost:6379"
  if (!/^(?:\/\d{0,4})?$/u.test(url.pathname))
    return "the path of a URL of Redis is the number of a database, such as /0"
  if (url.search !== "" || url.hash !== "") return "a URL of Redis takes no query and no fragment"
  return undefined
}

/** Host and port, without the password. */
export const nameOf = (text: string): string => URL.parse(text)?.host ?? "an unknown host"
