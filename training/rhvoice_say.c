/* Says lines with RHVoice: "voice TAB rate TAB pitch TAB text" on standard input, the last two as factors;
 * for each a count (uint32) and so many samples (int16, 24 kHz) on standard output.
 *
 * Arguments: RHVoice.dll, and the folder of its languages and voices. The structs are those of RHVoice 1.14's C API. */
#include <fcntl.h>
#include <io.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

typedef struct {
    int (*set_sample_rate)(int, void *);
    int (*play_speech)(const short *, unsigned, void *);
    int (*others[7])(void);
} callbacks;

typedef struct {
    const char *data_path, *config_path, **resource_paths;
    callbacks calls;
    unsigned options;
} init_params;

typedef struct {
    const char *voice_profile;
    double absolute_rate, absolute_pitch, absolute_volume, relative_rate, relative_pitch, relative_volume;
    int punctuation_mode;
    const char *punctuation_list;
    int capitals_mode, flags;
} synth_params;

static int16_t *spoken;
static uint32_t count, room;

static int on_rate(int hz, void *user) { return hz == 24000; }

static int on_speech(const short *samples, unsigned more, void *user) {
    if (count + more > room) {
        room = 2 * (count + more);
        if (!(spoken = realloc(spoken, room * sizeof *spoken)))
            exit(1);
    }
    memcpy(spoken + count, samples, more * sizeof *samples);
    count += more;
    return 1;
}

static int on_other(void) { return 1; }

int main(int arguments, char **argument) {
    HMODULE library = arguments == 3 ? LoadLibraryA(argument[1]) : NULL;
    if (!library)
        return 1;
    void *(*new_engine)(const init_params *) = (void *)GetProcAddress(library, "RHVoice_new_tts_engine");
    void *(*new_message)(void *, const char *, unsigned, int, const synth_params *, void *) =
        (void *)GetProcAddress(library, "RHVoice_new_message");
    int (*speak)(void *) = (void *)GetProcAddress(library, "RHVoice_speak");
    void (*delete_message)(void *) = (void *)GetProcAddress(library, "RHVoice_delete_message");

    init_params init = {argument[2], argument[2], NULL, {on_rate, on_speech}, 0};
    for (int i = 0; i < 7; i++)
        init.calls.others[i] = on_other;
    void *engine = new_engine(&init);
    if (!engine)
        return 1;
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
    static char line[8192];
    while (fgets(line, sizeof line, stdin)) {
        char *voice = strtok(line, "\t"), *rate = strtok(NULL, "\t"), *pitch = strtok(NULL, "\t");
        char *text = strtok(NULL, "\n");
        if (!text)
            return 1;
        synth_params params = {voice, 0, 0, 0, atof(rate), atof(pitch), 1, 0, NULL, 0, 0};
        count = 0;
        void *message = new_message(engine, text, (unsigned)strlen(text), 0, &params, NULL);
        if (message) {
            speak(message);
            delete_message(message);
        }
        fwrite(&count, sizeof count, 1, stdout);
        fwrite(spoken, sizeof *spoken, count, stdout);
        fflush(stdout);
    }
    return 0;
}
