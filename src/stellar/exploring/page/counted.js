// Counts in words.

export const pictures = (count) => `${count.toLocaleString()} ${count === 1 ? "picture" : "pictures"}`;
