// Counts in words.

const counted = (noun) => (count) => `${count.toLocaleString()} ${noun}${count === 1 ? "" : "s"}`;

export const pictures = counted("picture");
export const groups = counted("group");
