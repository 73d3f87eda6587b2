## Op elke bladzijde
error-prefix = Fout:
error-summary = Er is iets niet goed gegaan
skip = Naar de inhoud
languages = Talen
help = Hulp nodig? Neem contact op met de organisatie die u het bericht stuurde, en noem het kenmerk dat in de e-mail staat.
never = Wij vragen nooit om een wachtwoord of een betaling.
weekdays = zondag maandag dinsdag woensdag donderdag vrijdag zaterdag
months = januari februari maart april mei juni juli augustus september oktober november december

## Voordat de code is gegeven
landing-title = Beveiligd bericht van { $organisation }
landing-for = Voor
landing-received = Ontvangen
landing-until = Beschikbaar tot
landing-reference = Kenmerk
landing-why = Om zeker te weten dat u het bent, sturen wij een code naar het nummer dat eindigt op { $digits }.
landing-send = Stuur de code per sms
landing-not-mine = Dit is niet mijn nummer
code-title = Voer de code in
code-sent = Wij stuurden om { $time } een sms naar het nummer dat eindigt op { $digits }.
code-label = Code van 6 cijfers
code-hint = Geldig tot { $time }. Na 3 verkeerde codes wordt het bericht geblokkeerd.
code-open = Bericht openen
code-again = Stuur de sms opnieuw
code-empty = Vul de code in.
code-malformed = De code bestaat uit 6 cijfers. { $count ->
    [one] U vulde er 1 in.
   *[other] U vulde er { $count } in.
}
code-wrong = Deze code klopt niet. { $count ->
    [one] U heeft nog 1 poging. Daarna wordt het bericht geblokkeerd.
   *[other] U heeft nog { $count } pogingen.
}
code-expired = Deze code is verlopen of al gebruikt. Vraag een nieuwe aan.
code-too-soon = Er is net een sms gestuurd. U kunt om { $time } een nieuwe aanvragen.
code-spent = U heeft het grootste aantal codes aangevraagd. Vanaf { $time } kunt u weer een code aanvragen.
code-unavailable = De sms kon niet worden verstuurd. Uw bericht staat er nog. Probeer het over 5 minuten opnieuw.
code-number-wrong = De sms kon niet op dit nummer worden afgeleverd. { $organisation } krijgt hiervan bericht en kan het nummer verbeteren.

## Als het niet verder kan
unknown-title = Deze link herkennen wij niet
unknown-text = Open de link uit de e-mail opnieuw, of kopieer hem helemaal. Het kan ook zijn dat het bericht niet meer beschikbaar is, of dat uw browser geen cookies bewaart.
expired-title = Dit bericht is niet meer beschikbaar
expired-text = Het was beschikbaar tot { $time } en wordt verwijderd. Vraag de afzender om het opnieuw te sturen.
locked-title = Dit bericht is geblokkeerd
locked-text = Er is 3 keer een verkeerde code ingevoerd. Het bericht zelf is veilig en niet verwijderd; het blijft tot { $time } bewaard.
locked-next = { $organisation } heeft bericht gekregen en kan het vrijgeven. Daarna vraagt u een nieuwe code aan.
blocked-title = U kunt het even niet proberen
blocked-text = Vanaf uw internetadres is te vaak een verkeerde code ingevoerd. Vanaf { $time } kunt u het weer proberen.
blocked-next = Uw bericht is veilig en niet verwijderd. Is het geblokkeerd na 3 verkeerde codes? Dan heeft { $organisation } bericht gekregen en kan het vrijgeven.
doubt-title = Dank u, wij geven het door
doubt-text = { $organisation } krijgt bericht dat het nummer niet klopt. U hoeft het juiste nummer hier niet in te vullen. Als het nummer is verbeterd, opent u de link uit de e-mail opnieuw.
session-title = De sessie is verlopen
session-text = Open de link uit de e-mail opnieuw.
forbidden-title = Dit formulier is niet meer geldig
forbidden-text = Ga terug naar de bladzijde, laad haar opnieuw en probeer het nog eens. Er is niets veranderd.
trouble-title = Dat lukt nu niet
trouble-text = Er is een storing. Uw bericht staat er nog. Probeer het over een paar minuten opnieuw.
back = Terug

## Het bericht
message-no-subject = (zonder onderwerp)
message-from = Van
message-to = Aan
message-date = Datum
message-until = Te openen tot
message-body = Inhoud van het bericht
message-text-only = Alleen tekst tonen
message-formatted = Met opmaak tonen
message-images = Afbeeldingen van buiten worden niet geladen.
message-too-large = Dit bericht is te groot om hier te tonen. Sla het op en open het in uw mailprogramma.
message-files = { $count ->
    [one] 1 bijlage
   *[other] { $count } bijlagen
}
message-download = Download { $name }
message-save = Opslaan als .eml
message-close = Afsluiten
message-destroy = Nu vernietigen
destroy-title = Bericht nu vernietigen?
destroy-text = Het bericht en alle bijlagen worden verwijderd. Dat kan niet ongedaan worden gemaakt. Sla het eerst op als u het wilt bewaren.
destroy-yes = Ja, vernietig het bericht
destroy-no = Nee, ga terug
destroyed-title = Het bericht is vernietigd
destroyed-text = Er is niets van bewaard.
closed-title = U heeft het bericht afgesloten
closed-text = Met de link uit de e-mail en een nieuwe code kunt u het weer openen, zolang het beschikbaar is.

## Voor de afzender
sender-missing-title = Telefoonnummer nodig
sender-missing-text = Uw bericht aan { $recipient } is nog niet bezorgd. De ontvanger krijgt een code per sms; daarvoor is een mobiel nummer nodig.
sender-waiting-title = Bericht aan { $recipient }
sender-waiting-text = Het bericht staat klaar. Codes gaan naar het nummer dat eindigt op { $digits }.
sender-locked-title = Bericht aan { $recipient } is geblokkeerd
sender-locked-text = Er is 3 keer een verkeerde code ingevoerd. Weet u dat het de ontvanger was? Geef het bericht dan vrij. Klopt het nummer niet? Geef dan een ander nummer.
sender-ended-title = Hier is niets meer te doen
sender-ended-text = Het bericht is niet meer in de kluis.
sender-sent = Verstuurd
sender-kept = Bewaard tot
sender-why = Waarom niet gewoon per e-mail
sender-number = Mobiel nummer van de ontvanger
sender-number-other = Ander mobiel nummer
sender-number-hint = Bijvoorbeeld 06 12345678 of +32 475 12 34 56.
sender-remember = Waarvoor geldt dit nummer?
sender-this = Alleen voor dit bericht
sender-organisation = Onthouden voor de hele organisatie
sender-save = Nummer opslaan
sender-release = Vrijgeven
sender-again = Link opnieuw sturen
sender-saved-title = Het nummer is opgeslagen
sender-saved-text = Codes gaan naar { $number }. De ontvanger krijgt een e-mail met een link.
sender-changed-text = Codes gaan vanaf nu naar { $number }. De ontvanger kan de link uit de e-mail opnieuw openen.
sender-released-title = Het bericht is vrijgegeven
sender-released-text = De ontvanger kan de link uit de e-mail opnieuw openen en krijgt een nieuwe code.
sender-again-title = De link wordt opnieuw gestuurd
sender-again-text = De ontvanger krijgt binnen enkele minuten een e-mail, tenzij het bericht al eerder is geopend: dat is hier nooit te zien.
number-empty = Vul een nummer in.
number-invalid = Dit nummer bestaat niet. Een mobiel nummer is bijvoorbeeld 06 12345678.
number-fixed = Dit is geen mobiel nummer. Wij kunnen er geen sms naar sturen.
number-country = Naar dit land versturen wij geen sms.
