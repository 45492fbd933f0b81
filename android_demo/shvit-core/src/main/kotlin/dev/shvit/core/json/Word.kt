package dev.shvit.core.json

/** A value of a closed list, with its spelling in documents. */
interface Word {
    /** The spelling. */
    val word: String
}

internal inline fun <reified W> Fields.word(name: String): W where W : Enum<W>, W : Word = among(name, enumValues<W>())

internal fun <W : Word> Fields.among(name: String, choices: Array<W>): W {
    val given = text(name)
    return choices.firstOrNull { it.word == given }
        ?: fail(name, "'$given' is not one of ${choices.joinToString { it.word }}")
}

internal fun json(word: Word?): Json = json(word?.word)
